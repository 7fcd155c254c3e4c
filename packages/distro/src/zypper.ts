/**
 * Runs zypper on a tree with a configuration of imgtool's own: nothing of this machine's zypper is read,
 * and nothing is left in the tree but the packages.
 * @module
 */
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { runTool } from "@imgtool/host";
import { resolveInTree } from "@imgtool/sandbox";
import { proxyEnvironment } from "./apt.ts";
import { localRepositoryName } from "./local-packages.ts";
import { linkCache } from "./linked-cache.ts";
import type { FailureWords } from "./package-error.ts";
import type { Downloaded } from "./install-downloaded.ts";
import { packageRunner, type PreparedRun } from "./package-run.ts";
import { parseSize } from "./rpm-distribution.ts";
import type { RpmCommand, RpmManager, RpmRunOptions } from "./rpm-manager.ts";

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

// Exit codes of zypper(8) that ask for a reboot or a restart after a success.
const success: readonly number[] = [0, 102, 103];

/** openSUSE's package manager. */
export const zypper: RpmManager = {
  program: "zypper",
  configure,
  prepare,
  install: (withRecommends) => ["install", withRecommends ? "--recommends" : "--no-recommends"],
  downloadOnly: "--download-only",
  readLists: ["refresh"],
  lists: { folder: "raw", isOf: (id, name) => name === id },
  exactly: ({ name, version, architecture }) => `${name}.${architecture}=${version}`,
  remove: ["remove", "--clean-deps"],
  upgrade: ["update"],
  reinstall: ["install", "--force"],
  scripts: {
    refresh: ["--quiet", "refresh"],
    // An error where there is none.
    refreshOffline: ["--quiet", "refresh", localRepositoryName],
    offline: ["--no-refresh"],
  },
  downloading: /^Retrieving(?: package|:)? (\S+).*\(\s*\d+\/\d+\), +([\d.]+ [KMG]?)i?B/,
  installing: /^\(\d+\/\d+\) Installing: (\S+)/,
  readDownload,
};

function readDownload(lines: readonly string[]): Downloaded {
  const sizes = lines.flatMap((line) => zypper.downloading.exec(line)?.[2] ?? []);
  const count = lines.map((line) => /^(\d+) new packages? to install/.exec(line)?.[1]).find(Boolean);
  return {
    files: sizes.length,
    bytes: sizes.reduce((sum, size) => sum + parseSize(size), 0),
    count: Number(count ?? 0),
  };
}

/** Writes the configuration. */
async function configure(options: RpmRunOptions): Promise<RpmCommand> {
  const { tree, folder, home, release } = options;
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
    ...((options.cacheOnly ?? "nothing") === "nothing" ? [] : ["--no-refresh"]),
    `--installroot=${tree}`,
    `--reposd-dir=${options.repositoryFolder}`,
    `--cache-dir=${options.cache ?? join(folder, "cache")}`,
    ...(release === "" ? [] : [`--releasever=${release}`]),
  ];
  return { common, env: { HOME: home, ZYPP_CONF: configuration, SYSTEMD_OFFLINE: "1", ...proxyEnvironment() } };
}

/** Writes the configuration, and gives the tree the keys. */
async function prepare(options: RpmRunOptions): Promise<PreparedRun> {
  const { tree, folder, release, signal } = options;
  const cache = await linkCache(options.cache ?? join(folder, "cache"));
  const { common, env } = await configure({ ...options, cache: cache.path });
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
    cacheOnly: options.cacheOnly,
    signal,
  });
  if (options.keyCheck !== false) await importKeys(options);
  // Without it, the repository would count as one that has never been read.
  if ((options.cacheOnly ?? "nothing") !== "nothing" && options.hasOwn === true) {
    const args = ["refresh", localRepositoryName];
    await run({ args, doing: "read the project's own packages", mounted: false, offline: false });
  }
  return { run, tidy: async () => await cache.remove(tree) };
}

/** zypper verifies with the keys in the tree's database alone; keys that are elsewhere it would ask for. */
async function importKeys(options: RpmRunOptions): Promise<void> {
  const { tree, home, repositories = [], databaseFolder = "", signal } = options;
  const keys = [...new Set(repositories.filter(({ enabled }) => enabled).flatMap((entry) => entry.keys))];
  if (keys.length === 0) return;
  const database = await resolveInTree(tree, databaseFolder);
  await mkdir(database, { recursive: true });
  // mkdir obeys the umask.
  for (let path = database; path.length > tree.length; path = dirname(path)) await chmod(path, 0o755);
  await runTool("rpm", [`--root=${tree}`, "--import", ...keys.map((key) => key.replace(/^file:\/\//, ""))], {
    env: { HOME: home, ...proxyEnvironment() },
    signal,
  });
}
