/**
 * Runs zypper on a tree with a configuration of imgtool's own: nothing of this machine's zypper is read,
 * and nothing is left in the tree but the packages.
 * @module
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runTool } from "@imgtool/host";
import { proxyEnvironment } from "./apt.ts";
import { linkCache } from "./linked-cache.ts";
import type { FailureWords } from "./package-error.ts";
import { packageRunner, type PreparedRun } from "./package-run.ts";

/** What zypper says when something is the matter. */
const words: FailureWords = {
  unknown: [/^No provider of '([^']+)' found\.$/, /^Package '([^']+)' not found\.$/],
  signature: [
    /Signature verification failed/,
    /is signed with an unknown key/,
    /is not signed|is unsigned/,
    /[Ss]ignatures? (?:key )?(?:is|are) NOT OK|NOKEY/,
    /failed signature check/,
  ],
  unreachable: [
    /^Skipping repository '([^']+)' because of the above error/,
    /File '[^']+' not found on medium '([^']+)'/,
    /(?:Download|Timeout|Connection) .*(?:error|failed|exceeded|refused)/i,
    /^Problem retrieving files from '([^']+)'/,
    /Could not resolve host|Connection failed|Can't provide/,
  ],
  unmet: [/^Problem: (.*)$/],
  script: [/%\w+\((\S+?)\) scriptlet failed/],
};

// Exit codes of zypper(8) that say something besides success: a reboot or a restart is called for, or a
// script of a package failed, which rpm goes on from.
const success: readonly number[] = [0, 102, 103];

export interface ZypperOptions {
  readonly tree: string;
  readonly folder: string;
  readonly home: string;
  readonly repositoryFolder: string;
  readonly cache?: string | undefined;
  readonly distribution: string;
  readonly release: string;
  readonly withDocs?: boolean | undefined;
  readonly keyCheck?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Writes the configuration. */
export async function prepareZypper(options: ZypperOptions): Promise<PreparedRun> {
  const { tree, folder, home, release, signal } = options;
  const cache = await linkCache(options.cache ?? join(folder, "cache"));
  const configuration = join(folder, "zypp.conf");
  const lines = [
    "[main]",
    `rpm.install.excludedocs = ${options.withDocs === false ? "yes" : "no"}`,
    // Whatever is read is read once in a build, at its first command.
    "repo.refresh.delay = 0",
    "commit.downloadMode = DownloadInAdvance",
    "multiversion = provides:multiversion(kernel)",
  ];
  await writeFile(configuration, `${lines.join("\n")}\n`);
  const common = [
    "--non-interactive",
    ...(options.keyCheck === false ? ["--no-gpg-checks"] : []),
    `--installroot=${tree}`,
    `--reposd-dir=${options.repositoryFolder}`,
    `--cache-dir=${cache.path}`,
    ...(release === "" ? [] : [`--releasever=${release}`]),
  ];
  const env = { HOME: home, ZYPP_CONF: configuration, SYSTEMD_OFFLINE: "1", ...proxyEnvironment() };
  const known = async (): Promise<readonly string[]> => {
    const { stdout } = await runTool("zypper", [...common, "--no-refresh", "--quiet", "packages"], { env, signal });
    return [...new Set(stdout.split("\n").map((line) => line.split("|")[2]?.trim() ?? ""))];
  };
  const run = packageRunner({
    program: "zypper",
    common,
    offline: ["--no-refresh"],
    env,
    success,
    words,
    tree,
    distribution: options.distribution,
    release,
    known,
    signal,
  });
  return { run, tidy: async () => await cache.remove(tree) };
}
