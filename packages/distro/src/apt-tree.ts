/**
 * Runs apt on a tree that has packages: it works beside the tree, dpkg inside it.
 * @module
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Progress } from "@imgtool/core";
import { resolveInTree, runIsolated } from "@imgtool/sandbox";
import type { AptRoot, Plan } from "./apt.ts";
import { aptError } from "./apt-errors.ts";
import type { DebianFamily } from "./debian.ts";
import { aptWithoutDocs } from "./docs.ts";
import { fetchFiles } from "./package-cache.ts";

export interface InstallOntoOptions {
  readonly family: DebianFamily;
  readonly release: string;
  readonly tree: string;
  /** Debian's name. */
  readonly architecture: string;
  /** With lists and the packages of the plan. */
  readonly apt: AptRoot;
  readonly plan: Plan;
  readonly withRecommends: boolean;
  readonly withDocs: boolean;
  readonly progress: Progress;
  readonly signal: AbortSignal | undefined;
}

/** Installs downloaded packages on top of those of the tree. @throws as Distribution.install does */
export async function installOnto(options: InstallOntoOptions): Promise<void> {
  const { family, release, tree, apt, plan, progress, signal } = options;
  if (plan.packages.length === 0) return;
  using task = progress.start({ label: "install packages", total: 2 * plan.files.length });
  const lines: string[] = [];
  const onLine = (line: string): void => {
    lines.push(line);
    if (lines.length > 2000) lines.shift();
    const step = /^(Unpacking|Setting up) (\S+?)(?::\S+)? \(/.exec(line);
    if (step === null) return;
    task.advance(1);
    task.detail(`${step[1] === "Unpacking" ? "unpack" : "set up"} ${step[2] ?? ""}`);
  };
  // dpkg, in the tree, reads the packages there.
  const archives = await resolveInTree(tree, "var/cache/apt/archives", { followLast: true });
  await mkdir(join(archives, "partial"), { recursive: true });
  await fetchFiles(apt.archives, archives);
  const configuration = join(apt.cache, "tree.conf");
  const places = [
    `Dir::State::lists "${apt.lists}";`,
    `Dir::Etc::sourcelist "${apt.sourceList}";`,
    'Dir::Etc::sourceparts "/dev/null";',
    `Dir::Etc::preferences "${apt.preferences}";`,
    'Dir::Etc::preferencesparts "/dev/null";',
    'DPkg::Options:: "--force-unsafe-io";',
    ...(options.withDocs ? [] : aptWithoutDocs),
    `APT::Install-Recommends "${String(options.withRecommends)}";`,
    "",
  ];
  await writeFile(configuration, `${treeConfiguration(tree, options.architecture)}${places.join("\n")}`);
  try {
    const args = [
      "--yes",
      "--no-download",
      "--allow-unauthenticated",
      "--no-install-recommends",
      "install",
      "--",
      ...plan.packages,
    ];
    const env = { DEBIAN_FRONTEND: "noninteractive", APT_CONFIG: configuration, SYSTEMD_OFFLINE: "1", INITRD: "No" };
    await runIsolated("apt-get", args, { tree, env, signal, onStdoutLine: onLine, onStderrLine: onLine });
  } catch (cause) {
    throw aptError({ doing: "install packages", family, release, output: lines.slice(-200).join("\n"), cause });
  }
  task.done(`${plan.files.length} packages`);
}

/**
 * apt's configuration for a tree. Neither the host's nor the image's is read: their hooks are commands
 * that would run on this machine.
 */
export function treeConfiguration(tree: string, architecture: string): string {
  return [
    `Dir "${tree}";`,
    `Dir::State::status "${tree}/var/lib/dpkg/status";`,
    `Dir::Etc::parts "/dev/null";`,
    `Dir::Etc::main "/dev/null";`,
    `Dir::Log "/dev/null";`,
    `Dir::Bin::dpkg "dpkg";`,
    `Dir::Bin::methods "/usr/lib/apt/methods";`,
    `DPkg::Chroot-Directory "${tree}";`,
    `DPkg::Use-Pty "false";`,
    `APT::Architecture "${architecture}";`,
    "",
  ].join("\n");
}
