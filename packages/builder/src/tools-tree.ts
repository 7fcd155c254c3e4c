/**
 * ToolsTree=: a tree whose programs take the place of this machine's, as they are or built before the image.
 *
 * Each of its programs gets a shell script of its name in a folder that comes first in PATH: the script
 * gives the program a mount namespace in which /usr is the tree's. What this machine has to have is then
 * Node.js, a shell, unshare and mount.
 * @module
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ImageConfig, ToolsTreeConfig } from "@imgtool/config";
import { NotFoundError, type Progress } from "@imgtool/core";
import { hostTools, pathExists, requireTool, shellWord } from "@imgtool/host";
import { auxiliaryImage } from "./auxiliary-image.ts";
import { build } from "./build.ts";
import type { LockedImage } from "./lock-file.ts";
import { lock } from "./lock.ts";
import { buildRecordPath } from "./outputs.ts";
import { configDigest, inputDigests, readBuildRecord } from "./record.ts";
import { toolsFolder, toolsOutput } from "./tools-place.ts";

export interface ToolsTreeOptions {
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

/** Architectures as Node.js and as systemd call them, where they differ. */
const architectures: Readonly<Record<string, string>> = { x64: "x86-64", ia32: "x86", ppc64: "ppc64-le" };

/**
 * Runs `use` with the programs of the project's tools tree, which is built first where that is asked for.
 * Programs are found by PATH, which is changed meanwhile: two projects with trees of their own cannot be built
 * at once in one process.
 * @throws NotFoundError `tools-tree-missing`, what build() throws
 */
export async function withToolsTree<Result>(
  config: ImageConfig,
  options: ToolsTreeOptions,
  use: () => Promise<Result>,
): Promise<Result> {
  const tree = await findToolsTree(config, options);
  if (tree === undefined) return await use();
  const folder = await mkdtemp(join(tmpdir(), "imgtool-tools-"));
  const before = process.env["PATH"];
  try {
    options.progress.log("debug", `programs are taken from ${tree}`);
    await writeShims(tree, folder, config.toolsTreeCertificates);
    process.env["PATH"] = `${folder}:${before ?? "/usr/local/bin:/usr/bin:/bin"}`;
    return await use();
  } finally {
    if (before === undefined) delete process.env["PATH"];
    else process.env["PATH"] = before;
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * The command that runs `command` with /usr of the project's tools tree, which is built first where that is
 * asked for; without one, the command itself.
 * @throws as withToolsTree()
 */
export async function toolsTreeCommand(
  config: ImageConfig,
  options: ToolsTreeOptions,
  command: readonly string[],
): Promise<readonly string[]> {
  const tree = await findToolsTree(config, options);
  if (tree === undefined) return command;
  const script = await enterScript(tree, config.toolsTreeCertificates);
  return ["unshare", "--mount", "--propagation", "slave", "sh", "-c", script, tree, ...command];
}

/** The tree's path; undefined where this machine's programs are used. */
async function findToolsTree(config: ImageConfig, options: ToolsTreeOptions): Promise<string | undefined> {
  const { toolsTree } = config;
  if (toolsTree === undefined) return undefined;
  if (typeof toolsTree !== "string") return await buildToolsTree(config, toolsTree, options);
  if (await pathExists(join(toolsTree, "usr/bin"))) return toolsTree;
  throw new NotFoundError(`the tools tree ${toolsTree} has no /usr/bin`, {
    code: "tools-tree-missing",
    hint: "ToolsTree= takes a folder with a whole system, or default, which builds one",
    data: { path: toolsTree },
  });
}

async function buildToolsTree(
  config: ImageConfig,
  tools: ToolsTreeConfig,
  { progress, signal }: ToolsTreeOptions,
): Promise<string> {
  const own = toolsConfig(config, tools);
  const tree = join(own.outputDirectory, own.output);
  if ((await pathExists(tree)) && (await isUpToDate(own))) return tree;
  progress.log("info", `building the tools tree of ${tools.distribution} ${tools.release}`);
  await mkdir(own.outputDirectory, { recursive: true });
  await build(own, { progress, signal, force: true });
  return tree;
}

/**
 * Locks the packages of the project's tools tree, as lock() does those of an image; nothing where none is built.
 * @throws what lock() throws
 */
export async function lockToolsTree(config: ImageConfig, options: ToolsTreeOptions): Promise<LockedImage | undefined> {
  const { toolsTree } = config;
  if (toolsTree === undefined || typeof toolsTree === "string") return undefined;
  return await lock(toolsConfig(config, toolsTree), options);
}

async function isUpToDate(own: ImageConfig): Promise<boolean> {
  try {
    const { inputs } = await readBuildRecord(buildRecordPath(own));
    const files = JSON.stringify(await inputDigests(own));
    return inputs.config === configDigest(own) && JSON.stringify(inputs.files) === files;
  } catch (error) {
    if (error instanceof NotFoundError) return false;
    throw error;
  }
}

/** What builds run, whatever the distribution; what runs images and opens archives is this machine's own. */
const builders: readonly string[] = [
  "apt-ftparchive",
  "apt-get",
  "bwrap",
  "depmod",
  "gpg",
  "grub-mkimage",
  "mksquashfs",
  "mmdebstrap",
  "modinfo",
  "mount",
  "qemu-img",
  "setfiles",
  "unshare",
  "xz",
];
/** Package managers, and what goes with them, by the distributions that they are for. */
const managers: Readonly<Record<string, readonly string[]>> = {
  dnf: ["fedora", "centos", "rhel", "rocky", "alma"],
  createrepo_c: ["fedora", "centos", "rhel", "rocky", "alma", "opensuse"],
  rpm: ["fedora", "centos", "rhel", "rocky", "alma", "opensuse"],
  zypper: ["opensuse"],
  pacman: ["arch"],
  "repo-add": ["arch"],
};

/** Debian's packages with the programs that imgtool may run for images of a distribution. */
function toolsPackages(distribution: string): string[] {
  const own = Object.keys(managers).filter((name) => managers[name]?.includes(distribution) === true);
  const names = [...builders, ...own].flatMap((name) => hostTools[name]?.package ?? []);
  const keys: Readonly<Record<string, string>> = { ubuntu: "ubuntu-keyring", arch: "archlinux-keyring" };
  const keyring = keys[distribution];
  return [
    ...new Set([...names, "debian-archive-keyring", "ca-certificates", ...(keyring === undefined ? [] : [keyring])]),
  ].sort();
}

function toolsConfig(config: ImageConfig, tools: ToolsTreeConfig): ImageConfig {
  const architecture = architectures[process.arch] ?? process.arch;
  const known = tools.distribution === "debian" || tools.distribution === "ubuntu";
  return {
    ...config,
    ...auxiliaryImage,
    distribution: tools.distribution,
    release: tools.release,
    architecture,
    mirror: tools.mirror,
    localMirror: undefined,
    snapshot: undefined,
    repositories: tools.repositories,
    sandboxTrees: tools.sandboxTrees,
    packages: [...(known ? toolsPackages(config.distribution) : []), ...tools.packages],
    packageDirectories: tools.packageDirectories,
    volatilePackageDirectories: [],
    removeFiles: [],
    cleanPackageMetadata: false,
    format: "directory",
    output: toolsOutput(config, tools),
    outputDirectory: toolsFolder(config),
    extraTrees: [],
    makeInitrd: false,
    kernelModules: [],
    firmwareFiles: [],
    selinuxRelabel: "disabled",
    rootPassword: undefined,
    hostname: undefined,
    timezone: undefined,
    locale: undefined,
    localeMessages: undefined,
    keymap: undefined,
    toolsTree: undefined,
  };
}

/** What the scripts themselves need, and what this machine's kernel lets its users do. */
const machines: ReadonlySet<string> = new Set(["unshare", "mount", "newuidmap"]);

/** Programs of the same packages that are run beside those of the table. */
const companions = ["apt-cache", "apt-config", "gpg-agent", "gpgconf", "pacman-key"];

/** What programs read besides /usr; each is only mounted where both sides have it. */
const shared = ["etc/alternatives", "etc/ld.so.cache"];
const certificates = ["etc/ssl", "etc/pki", "etc/ca-certificates"];

/** A shell script that mounts what is the tree's, which is $0, and runs its arguments. */
async function enterScript(tree: string, withCertificates: boolean): Promise<string> {
  const paths = [...shared, ...(withCertificates ? certificates : [])];
  const mounts = ["usr"];
  for (const path of paths)
    if ((await pathExists(join(tree, path))) && (await pathExists(join("/", path)))) mounts.push(path);
  return [...mounts.map((path) => `mount --bind "$0/${path}" "/${path}"`), 'exec "$@"'].join(" && ");
}

async function writeShims(tree: string, folder: string, withCertificates: boolean): Promise<void> {
  const inside = await enterScript(tree, withCertificates);
  const unshare = await requireTool("unshare");
  await requireTool("mount");
  for (const name of [...builders, ...Object.keys(managers), ...companions].filter((one) => !machines.has(one))) {
    const folders = ["usr/bin", "usr/sbin"];
    const inTree = await Promise.all(folders.map(async (place) => await pathExists(join(tree, place, name))));
    const place = folders[inTree.indexOf(true)];
    if (place === undefined) continue;
    const text = [
      "#!/bin/sh",
      "# Within the tree's own /usr this is the program itself.",
      `exec ${shellWord(unshare)} --mount --propagation slave sh -c ${shellWord(inside)} ${shellWord(tree)} /${place}/${name} "$@"`,
      "",
    ];
    await writeFile(join(folder, name), text.join("\n"), { mode: 0o755 });
  }
}
