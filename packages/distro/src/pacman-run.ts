/**
 * Runs pacman on a tree with a configuration of imgtool's own: nothing of this machine's pacman is read.
 * @module
 */
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "@imgtool/core";
import { runTool } from "@imgtool/host";
import { proxyEnvironment } from "./apt.ts";
import type { PacmanFamily, PacmanRepository } from "./arch.ts";
import type { InstallOptions } from "./distribution.ts";
import { mirrorUri } from "./mirror-uri.ts";
import type { FailureWords } from "./package-error.ts";
import { packageRunner, type RunPackages } from "./package-run.ts";

/** What pacman says when something is the matter. */
const words: FailureWords = {
  unknown: [/^error: target not found: (\S+)$/],
  signature: [
    /invalid or corrupted (?:package|database) \(PGP signature\)/,
    /signature from "[^"]*" is (?:unknown trust|invalid|marginal trust)/,
    /missing required signature/,
    /key "[^"]*" could not be (?:looked up|imported)/,
  ],
  unreachable: [/^error: failed retrieving file '[^']+' from (\S+)/, /failed to synchronize (?:all|any) databases/],
  unmet: [/^:: (unable to satisfy dependency .*)$/, /^:: (\S+ and \S+ are in conflict.*)$/],
  script: [/command failed to execute correctly/],
};

/** Where packages and lists are kept. */
export function pacmanCacheFolder(family: PacmanFamily, { packageCache, workspace }: InstallOptions): string {
  return packageCache === undefined ? join(workspace, "pacman", "cache") : join(packageCache, pacmanCacheName(family));
}

/** The folder below a cache of packages: a file's name has its version. */
export function pacmanCacheName(family: PacmanFamily): string {
  return join("pacman", family.name);
}

export interface PacmanOptions {
  readonly tree: string;
  readonly folder: string;
  readonly cache: string;
  readonly architecture: string;
  /** Undefined when signatures are not checked. */
  readonly keyFolder: string | undefined;
  readonly repositories: readonly PacmanRepository[];
  /** Lines of the configuration for the project's own packages: pacman takes a package from the first that has it. */
  readonly ownRepository?: readonly string[] | undefined;
  readonly withDocs?: boolean | undefined;
  readonly cacheOnly?: InstallOptions["cacheOnly"];
  readonly signal: AbortSignal | undefined;
}

export async function preparePacman(family: PacmanFamily, options: PacmanOptions): Promise<RunPackages> {
  const { tree, cache, signal } = options;
  await mkdir(cache, { recursive: true });
  await mkdir(join(tree, "var/lib/pacman"), { recursive: true });
  for (const path of ["var", "var/lib", "var/lib/pacman"]) await chmod(join(tree, path), 0o755);
  const { common, env } = await configurePacman(options);
  return packageRunner({
    program: "pacman",
    common,
    offline: [],
    env,
    words,
    tree,
    distribution: family.title,
    release: "",
    known: async () =>
      (await runTool("pacman", [...common, "--sync", "--list", "--quiet"], { signal })).stdout.split("\n"),
    cacheOnly: options.cacheOnly,
    signal,
  });
}

export interface PacmanCommand {
  /** What every command begins with. */
  readonly common: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** Writes the configuration. */
export async function configurePacman(options: PacmanOptions): Promise<PacmanCommand> {
  const { tree, folder, cache, architecture, keyFolder, repositories } = options;
  const configuration = join(folder, "pacman.conf");
  const lines = [
    "[options]",
    // Arch Linux signs packages, and not its lists of them.
    `SigLevel = ${keyFolder === undefined ? "Never" : "Required DatabaseOptional"}`,
    `Architecture = ${architecture}`,
    "ParallelDownloads = 5",
    ...(options.withDocs === false
      ? ["doc", "gtk-doc", "help", "info", "man"].map((name) => `NoExtract = usr/share/${name}/*`)
      : []),
    ...(options.ownRepository ?? []),
    ...repositories.flatMap(({ name, server }) => ["", `[${name}]`, `Server = ${server}`]),
  ];
  await writeFile(configuration, `${lines.join("\n")}\n`);
  const common = [
    `--config=${configuration}`,
    `--root=${tree}`,
    "--logfile=/dev/null",
    `--cachedir=${cache}`,
    `--hookdir=${join(tree, "etc/pacman.d/hooks")}`,
    ...(keyFolder === undefined ? [] : [`--gpgdir=${keyFolder}`]),
    "--noconfirm",
    "--noprogressbar",
  ];
  return { common, env: { SYSTEMD_OFFLINE: "1", ...proxyEnvironment() } };
}

export function choosePacmanRepositories(family: PacmanFamily, options: InstallOptions): PacmanRepository[] {
  const wanted = options.repositories ?? [];
  for (const name of wanted) {
    if (family.optional.includes(name) || family.repositories.includes(name)) continue;
    throw new ConfigError(`${family.title} has no repository "${name}"`, {
      code: "repository-unknown",
      hint: `Repositories= is any of ${family.optional.join(", ")}`,
      data: { repository: name, known: family.optional },
    });
  }
  const local = mirrorUri("LocalMirror", options.localMirror);
  if (local !== undefined) return [{ name: family.repositories[0] ?? "core", server: local }];
  const server = family.server({ mirror: mirrorUri("Mirror", options.mirror), snapshot: options.snapshot });
  const optional = family.optional.filter((name) => wanted.includes(name));
  return [...optional, ...family.repositories].map((name) => ({ name, server }));
}
