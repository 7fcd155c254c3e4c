/**
 * Runs dnf (4 or 5) on a tree with a configuration of imgtool's own: nothing of this machine's dnf is
 * read, and nothing is left in the tree but the packages.
 * @module
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runTool } from "@imgtool/host";
import { proxyEnvironment } from "./apt.ts";
import { linkCache } from "./linked-cache.ts";
import type { FailureWords } from "./package-error.ts";
import type { Downloaded } from "./install-downloaded.ts";
import { packageRunner, type PreparedRun } from "./package-run.ts";
import { parseSize } from "./rpm-distribution.ts";
import type { RpmCommand, RpmManager, RpmRunOptions } from "./rpm-manager.ts";
import { repositoryOfFolder } from "./rpm-repository-files.ts";

/** What dnf says when something is the matter. */
const words: FailureWords = {
  unknown: [/^No match for argument: (\S+)$/, /^(?:Error: )?Unable to find a match: (\S+)$/],
  signature: [
    /GPG check FAILED/,
    /is not signed/,
    /GPG signature verification error/,
    /[Pp]ublic key .* is not installed/,
    /Failed to retrieve GPG key/,
    /PGP check for package .* failed/,
  ],
  unreachable: [
    /Failed to download metadata for repo '([^']+)'/,
    /Cannot download repomd\.xml/,
    /Curl error \(\d+\)/,
    /Error downloading packages/,
    /Status code: \d+ for (\S+)/,
  ],
  unmet: [/^ +- (nothing provides .*)$/, /^ +- (package .* (?:requires|conflicts with) .*)$/],
  script: [/scriptlet failed, .*\b(\S+)$/, /Error in \w+ scriptlet in rpm package (\S+)/],
};

/** Fedora's and Red Hat's package manager. */
export const dnf: RpmManager = {
  program: "dnf",
  configure,
  prepare,
  // Recommended packages are the configuration's business.
  install: () => ["install"],
  downloadOnly: "--downloadonly",
  readLists: ["makecache"],
  lists: { folder: "", isOf: (id, name) => repositoryOfFolder(name) === id },
  exactly: ({ name, version, architecture }) => `${name}-${version}.${architecture}`,
  remove: ["remove"],
  upgrade: ["upgrade"],
  reinstall: ["reinstall"],
  // Of what it has cached it knows enough.
  scripts: { offline: ["--setopt=*.skip_if_unavailable=1"] },
  downloading: /^(?:\(\d+\/\d+\): )?(\S+\.rpm) .*\|/,
  installing: /^ +Installing +: (\S+)/,
  readDownload,
};

function readDownload(lines: readonly string[]): Downloaded {
  const found = (pattern: RegExp): string => lines.map((line) => pattern.exec(line)?.[1]).find(Boolean) ?? "";
  const files = lines.filter((line) => dnf.downloading.test(line)).length;
  return {
    files,
    bytes: files === 0 ? 0 : parseSize(found(/^Total download size: (.+)$/)),
    count: Number(found(/^Install +(\d+) Packages?$/)),
  };
}

/** Writes the configuration. */
async function configure(options: RpmRunOptions): Promise<RpmCommand> {
  const { tree, folder, home, release } = options;
  const variableFolder = join(folder, "variables");
  await mkdir(variableFolder, { recursive: true });
  for (const [name, value] of Object.entries(options.variables ?? {}))
    await writeFile(join(variableFolder, name), `${value}\n`);
  const configuration = join(folder, "dnf.conf");
  const lines = [
    "[main]",
    "best=1",
    "keepcache=1",
    "plugins=0",
    "check_config_file_age=0",
    "retries=3",
    // A mirror that takes connections and says nothing is given up soon.
    "timeout=20",
    `reposdir=${options.repositoryFolder}`,
    `varsdir=${variableFolder}`,
    `install_weak_deps=${options.withRecommends === true ? 1 : 0}`,
    `gpgcheck=${options.keyCheck === false ? 0 : 1}`,
    ...(options.withDocs === false ? ["tsflags=nodocs"] : []),
    ...((options.cacheOnly ?? "nothing") === "nothing" ? [] : ["metadata_expire=never"]),
  ];
  await writeFile(configuration, `${lines.join("\n")}\n`);
  const common = [
    "--assumeyes",
    `--config=${configuration}`,
    `--installroot=${tree}`,
    `--releasever=${release}`,
    `--forcearch=${options.architecture}`,
    // In the configuration it would be a path below the tree.
    `--setopt=cachedir=${options.cache ?? join(folder, "cache")}`,
  ];
  return { common, env: { HOME: home, SYSTEMD_OFFLINE: "1", ...proxyEnvironment() } };
}

async function prepare(options: RpmRunOptions): Promise<PreparedRun> {
  const { tree, folder, home, release, signal } = options;
  const cache = await linkCache(options.cache ?? join(folder, "cache"));
  const { common, env } = await configure({ ...options, cache: cache.path });
  const known = async (): Promise<readonly string[]> => {
    const args = [...common, "--cacheonly", "--quiet", "repoquery", "--available", "--queryformat=%{name}\n"];
    const { stdout } = await runTool("dnf", args, { env: { HOME: home }, signal });
    return [...new Set(stdout.split("\n").filter((name) => name !== ""))];
  };
  const run = packageRunner({
    program: "dnf",
    common,
    offline: ["--cacheonly"],
    env,
    words,
    tree,
    distribution: options.distribution,
    release,
    known,
    cacheOnly: options.cacheOnly,
    signal,
  });
  return { run, tidy: async () => await cache.remove(tree) };
}
