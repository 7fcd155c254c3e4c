/**
 * The verbs: one file each, loaded only when it is asked for, so that `--help` stays quick.
 * @module
 */
import type { Command } from "commander";

export interface Verb {
  readonly summary: string;
  readonly load: () => Promise<{ readonly command: () => Command }>;
}

export type VerbName =
  | "build"
  | "summary"
  | "clean"
  | "genkey"
  | "cat-config"
  | "init"
  | "bump"
  | "lock"
  | "dependencies"
  | "completion"
  | "documentation"
  | "vm"
  | "qemu"
  | "boot"
  | "shell"
  | "burn"
  | "box"
  | "ssh"
  | "publish"
  | "make"
  | "extract"
  | "list"
  | "mtree"
  | "stat"
  | "digest"
  | "verify"
  | "diff"
  | "gc"
  | "serve"
  | "mount"
  | "mkdev"
  | "cat"
  | "info"
  | "inspect"
  | "prune"
  | "cache"
  | "pull"
  | "push"
  | "doctor";

export const verbs: Readonly<Record<VerbName, Verb>> = {
  build: {
    summary: "Build the image of a project directory (the default verb)",
    load: () => import("./verbs/build.ts"),
  },
  summary: { summary: "Show the resolved configuration", load: () => import("./verbs/summary.ts") },
  clean: { summary: "Remove what build made", load: () => import("./verbs/clean.ts") },
  "cat-config": { summary: "Print the configuration files that are read", load: () => import("./verbs/cat-config.ts") },
  init: { summary: "Write a first mkosi.conf", load: () => import("./verbs/init.ts") },
  lock: { summary: "Hold the image to the exact packages of now", load: () => import("./verbs/lock.ts") },
  bump: { summary: "Count the version of the image up", load: () => import("./verbs/bump.ts") },
  dependencies: {
    summary: "List the Debian packages that building the project needs",
    load: () => import("./verbs/dependencies.ts"),
  },
  completion: { summary: "Print completions for bash, zsh or fish", load: () => import("./verbs/completion.ts") },
  documentation: {
    summary: "Print the reference of all settings, or its JSON schema",
    load: () => import("./verbs/documentation.ts"),
  },
  genkey: { summary: "Make a key and its certificate to sign with", load: () => import("./verbs/genkey.ts") },
  vm: { summary: "Run the image in a virtual machine", load: () => import("./verbs/vm.ts") },
  qemu: { summary: "The same as vm", load: () => import("./verbs/vm.ts") },
  boot: { summary: "Boot the image in a container", load: () => import("./verbs/boot.ts") },
  shell: { summary: "Run a command or a shell in the image", load: () => import("./verbs/shell.ts") },
  box: { summary: "Run a command with the programs of the tools tree", load: () => import("./verbs/box.ts") },
  burn: { summary: "Write the disk image to a device", load: () => import("./verbs/burn.ts") },
  ssh: { summary: "Log in to the running virtual machine", load: () => import("./verbs/ssh.ts") },
  publish: { summary: "Put the built image into a chunk store", load: () => import("./verbs/publish.ts") },
  make: { summary: "Make an archive or index from a file or directory", load: () => import("./verbs/make.ts") },
  extract: {
    summary: "Extract a file or directory from an archive or index",
    load: () => import("./verbs/extract.ts"),
  },
  list: { summary: "List the paths in an archive", load: () => import("./verbs/list.ts") },
  mtree: { summary: "Print the manifest of an archive in mtree(5) format", load: () => import("./verbs/mtree.ts") },
  stat: { summary: "Show what an archive records of one path", load: () => import("./verbs/stat.ts") },
  digest: {
    summary: "Print the digest of a file, directory, archive or index",
    load: () => import("./verbs/digest.ts"),
  },
  verify: {
    summary: "Check an index, a store, or a file or directory against an index",
    load: () => import("./verbs/verify.ts"),
  },
  diff: { summary: "Compare two trees or indexes", load: () => import("./verbs/diff.ts") },
  gc: { summary: "Remove the chunks of a store that no index names", load: () => import("./verbs/gc.ts") },
  serve: { summary: "Serve a directory over HTTP, for a desk", load: () => import("./verbs/serve.ts") },
  cat: { summary: "Print what an index describes, or a part of it", load: () => import("./verbs/cat.ts") },
  info: {
    summary: "Show the sizes of indexes, archives, directories and stores, and what is shared",
    load: () => import("./verbs/info.ts"),
  },
  inspect: { summary: "The same as info", load: () => import("./verbs/info.ts") },
  prune: { summary: "The same as gc", load: () => import("./verbs/gc.ts") },
  cache: { summary: "Copy the chunks of indexes into another store", load: () => import("./verbs/cache.ts") },
  mount: {
    summary: "Mount a published tree, without extracting it",
    load: () => import("./verbs/mount.ts"),
  },
  mkdev: {
    summary: "Open a published image as a block device, without extracting it",
    load: () => import("./verbs/mkdev.ts"),
  },
  pull: {
    summary: "Let a casync or imgtool elsewhere read files of this machine through ssh, which starts it",
    load: () => import("./verbs/pull.ts"),
  },
  push: {
    summary: "Let a casync or imgtool elsewhere write files of this machine through ssh, which starts it",
    load: () => import("./verbs/push.ts"),
  },
  doctor: {
    summary: "Say which host tools are missing and how to install them",
    load: () => import("./verbs/doctor.ts"),
  },
};

export function isVerb(name: string): name is VerbName {
  return Object.hasOwn(verbs, name);
}
