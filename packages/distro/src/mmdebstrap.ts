/**
 * Installs downloaded packages into a tree with mmdebstrap, which unpacks the essential packages,
 * configures them in the tree, and has apt install the rest. It finds the lists and packages of the
 * private apt root in place and downloads nothing.
 * @module
 */
import { chmod, lstat, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemErrorCode, type Progress } from "@imgtool/core";
import { shellWord } from "@imgtool/host";
import { resolveInTree, runIsolated } from "@imgtool/sandbox";
import { proxyEnvironment, type AptRoot } from "./apt.ts";
import { aptError, errorOutput } from "./apt-errors.ts";
import { docsConfiguration, removeDocsScript, withoutDocs } from "./docs.ts";
import { formatSourcesLine } from "./apt-sources.ts";
import type { DebianFamily } from "./debian.ts";
import type { Repository } from "./distribution.ts";

export interface MmdebstrapOptions {
  readonly family: DebianFamily;
  readonly release: string;
  /** Debian's name. */
  readonly architecture: string;
  readonly tree: string;
  readonly apt: AptRoot;
  readonly workspace: string;
  /** As they were planned. */
  readonly packages: readonly string[];
  /** How many packages the plan has. */
  readonly count: number;
  readonly repositories: readonly Repository[];
  readonly keyCheck: boolean;
  readonly withRecommends: boolean;
  readonly withDocs: boolean;
  readonly hostConfiguration: readonly string[];
  /** Whether the lists are of another day. */
  readonly isSnapshot: boolean;
  readonly sourceDateEpoch: number | undefined;
  readonly progress: Progress;
  readonly signal: AbortSignal | undefined;
}

/** Makes the usr-merge links (`/bin` → `usr/bin`, …) that a tree must have before its first package. */
export async function linkMergedUsr(tree: string, architecture: string): Promise<void> {
  const names = ["bin", "sbin", "lib"];
  if (["amd64", "ppc64el", "loong64", "mips64el"].includes(architecture)) names.push("lib64");
  // Packages of bookworm's other word sizes unpack there; a folder instead of a link would not be merged.
  if (architecture === "amd64") names.push("lib32", "libx32");
  for (const name of names) {
    const folder = join(tree, "usr", name);
    await mkdir(folder, { recursive: true });
    // mkdir obeys the umask, and dpkg leaves folders that exist as they are.
    for (const path of [join(tree, "usr"), folder]) await chmod(path, 0o755);
    try {
      await symlink(`usr/${name}`, join(tree, name));
    } catch (error) {
      if (systemErrorCode(error) !== "EEXIST") throw error;
    }
  }
}

/** @throws as Distribution.install does */
export async function runMmdebstrap(options: MmdebstrapOptions): Promise<void> {
  const { tree, workspace, progress, family, release } = options;
  const hook = join(workspace, "apt", "setup.sh");
  await writeFile(hook, setupHook(options.apt, options.withDocs));
  const docsHook = join(workspace, "apt", "docs.sh");
  await writeFile(docsHook, removeDocsScript);
  // mmdebstrap copies these two from the host: an image must not depend on where it is built.
  const hostFiles = await filesNotIn(tree, ["etc/resolv.conf", "etc/hostname"]);

  using task = progress.start({ label: "install packages", total: 2 * options.count });
  const lines: string[] = [];
  const onStderrLine = (line: string): void => {
    lines.push(line);
    if (lines.length > 2000) lines.shift();
    const step = /^(Unpacking|Setting up) (\S+?)(?::\S+)? \(/.exec(line);
    if (step !== null) {
      task.advance(1);
      task.detail(`${step[1] === "Unpacking" ? "unpack" : "set up"} ${step[2] ?? ""}`);
    } else if (line === "I: extracting archives...") {
      task.detail("extract the essential packages");
    }
  };
  try {
    await runIsolated("mmdebstrap", mmdebstrapArguments(options, hook, docsHook), {
      env: {
        DEBIAN_FRONTEND: "noninteractive",
        // Kernel packages would have initramfs-tools make an initrd for a machine like this one.
        INITRD: "No",
        ...proxyEnvironment(),
        ...(options.sourceDateEpoch === undefined ? {} : { SOURCE_DATE_EPOCH: String(options.sourceDateEpoch) }),
      },
      signal: options.signal,
      onStderrLine,
      onStdoutLine: onStderrLine,
    });
  } catch (cause) {
    const output = lines.slice(-200).join("\n") || errorOutput(cause);
    throw aptError({ doing: "install packages", family, release, output, cause });
  }
  for (const file of [
    ...hostFiles,
    "etc/apt/sources.list",
    "etc/apt/preferences.d/imgtool",
    "etc/apt/apt.conf.d/00mmdebstrap",
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/dpkg/dpkg.cfg.d/99mmdebstrap",
    docsConfiguration,
  ])
    await rm(await resolveInTree(tree, file), { force: true });
  task.done(`${options.count} packages`);
}

function mmdebstrapArguments(options: MmdebstrapOptions, hook: string, docsHook: string): string[] {
  const aptOptions = [
    ...(options.withRecommends ? ['APT::Install-Recommends "true";'] : []),
    ...options.hostConfiguration,
    ...(options.isSnapshot ? ['Acquire::Check-Valid-Until "false";'] : []),
    'Acquire::Retries "3";',
  ];
  return [
    "--verbose",
    "--mode=root",
    "--variant=essential",
    "--format=directory",
    `--architectures=${options.architecture}`,
    ...options.packages.map((name) => `--include=${name}`),
    // The tree holds the usr-merge links and the skeleton already; the lists and packages are not
    // its own, and are removed in one go afterwards.
    "--skip=check/empty,essential/unlink,cleanup/apt",
    // The tree is thrown away when the machine crashes: dpkg need not flush each file.
    "--dpkgopt=force-unsafe-io",
    ...aptOptions.map((line) => `--aptopt=${line}`),
    `--setup-hook=sh ${shellWord(hook)} "$1"`,
    ...(options.withDocs ? [] : [`--extract-hook=sh ${shellWord(docsHook)} "$1"`]),
    options.release,
    options.tree,
    ...options.repositories.map((entry) => formatSourcesLine(entry, !options.keyCheck)),
  ];
}

/** A shell command with hard links where the file systems allow it. */
function bring(from: string, to: string): string {
  const paths = `${shellWord(from)}/. "$1/${to}/"`;
  return `cp --archive --link ${paths} 2>/dev/null || cp --archive ${paths}`;
}

/** mmdebstrap skips `apt-get update` when it finds the result of one. */
function setupHook(apt: AptRoot, withDocs: boolean): string {
  return [
    "set -e",
    `cp ${shellWord(apt.preferences)} "$1/etc/apt/preferences.d/imgtool"`,
    // As --dpkgopt mmdebstrap would run each essential package through a filter in Python.
    ...(withDocs ? [] : [`printf '${withoutDocs.replaceAll("\n", "\\n")}' > "$1/${docsConfiguration}"`]),
    bring(apt.lists, "var/lib/apt/lists"),
    bring(apt.archives, "var/cache/apt/archives"),
    `cp ${shellWord(apt.cache)}/*.bin "$1/var/cache/apt/"`,
    "",
  ].join("\n");
}

async function filesNotIn(tree: string, files: readonly string[]): Promise<string[]> {
  const absent: string[] = [];
  for (const file of files) {
    try {
      await lstat(await resolveInTree(tree, file));
    } catch (error) {
      if (systemErrorCode(error) !== "ENOENT") throw error;
      absent.push(file);
    }
  }
  return absent;
}
