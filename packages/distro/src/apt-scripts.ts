/**
 * apt for scripts that run beside an image: with the lists and packages that the build has cached, and
 * the project's own packages.
 * @module
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { formatSourcesLine } from "./apt-sources.ts";
import { proxyEnvironment, type AptRoot } from "./apt.ts";
import { treeConfiguration } from "./apt-tree.ts";
import type { LockedPackage, Repository, ScriptTools } from "./distribution.ts";
import { aptWithoutDocs } from "./docs.ts";
import { fetchFiles, keepFiles, plainFiles } from "./package-cache.ts";
import { askedFile, readAsked, scriptPrograms } from "./script-programs.ts";

export interface AptScriptOptions {
  /** Created, with the archives' and the project's own repository as its sources. */
  readonly apt: AptRoot;
  /** Where the tree is in the script's sandbox. */
  readonly mounted: string;
  /** Debian's name. */
  readonly architecture: string;
  /** The repository of the project's own packages, and its folder. */
  readonly own: Repository | undefined;
  readonly ownFolder: string;
  readonly hostConfiguration: readonly string[];
  readonly packageCache: string | undefined;
  /** What its sources name on this machine. */
  readonly hostMounts: ScriptTools["mounts"];
  readonly withRecommends: boolean;
  readonly withDocs: boolean;
  /** As ScriptProgramOptions has it. */
  readonly locked: readonly LockedPackage[] | undefined;
}

/** Writes the configuration, and brings what is cached: as links, so that no other build is in the way. */
export async function aptScriptTools(options: AptScriptOptions): Promise<ScriptTools> {
  const { apt, mounted, own, packageCache } = options;
  if (packageCache !== undefined) {
    await fetchFiles(join(packageCache, "lists"), apt.lists);
    await fetchFiles(join(packageCache, "archives"), apt.archives);
  }
  const before = new Set(await plainFiles(apt.archives));
  const configuration = join(apt.cache, "scripts.conf");
  const lines = [
    `Dir::State::lists "${apt.lists}";`,
    `Dir::Etc::sourcelist "${apt.sourceList}";`,
    'Dir::Etc::sourceparts "/dev/null";',
    `Dir::Etc::preferences "${apt.preferences}";`,
    'Dir::Etc::preferencesparts "/dev/null";',
    // Below the tree, where dpkg sees them.
    `Dir::Cache "${apt.cache}";`,
    `Dir::Cache::archives "${mounted}/var/cache/apt/archives";`,
    'APT::Sandbox::User "root";',
    'Acquire::Languages "none";',
    'Acquire::Retries "2";',
    'APT::Get::Assume-Yes "true";',
    'DPkg::Options:: "--force-unsafe-io";',
    ...(options.withDocs ? [] : aptWithoutDocs),
    `APT::Install-Recommends "${String(options.withRecommends)}";`,
    ...options.hostConfiguration,
    "",
  ];
  await writeFile(configuration, `${treeConfiguration(mounted, options.architecture)}${lines.join("\n")}`);
  const ownList = join(apt.cache, "own.list");
  await writeFile(ownList, own === undefined ? "" : `${formatSourcesLine(own, true)}\n`);
  await mkdir(options.ownFolder, { recursive: true });
  const env = { DEBIAN_FRONTEND: "noninteractive", APT_CONFIG: configuration, SYSTEMD_OFFLINE: "1", INITRD: "No" };
  return {
    mounts: [
      { source: apt.folder, target: apt.folder, writable: true },
      { source: options.ownFolder, target: options.ownFolder },
      ...options.hostMounts,
    ],
    programs: scriptPrograms({
      program: "apt-get",
      common: [],
      env: { ...env, ...proxyEnvironment() },
      mounted,
      asked: askedFile(apt.folder),
      locked: options.locked,
      refresh: ["-qq", "update"],
      ...(own === undefined
        ? {}
        : {
            // Without a network it is the project's own packages that can be had, and what is cached.
            refreshOffline: [`-oDir::Etc::sourcelist=${ownList}`, "-oAPT::Get::List-Cleanup=0", "-qq", "update"],
          }),
      binds: { "var/cache/apt/archives": apt.archives },
      words: {
        install: ["install"],
        upgrade: ["upgrade"],
        reinstall: ["install", "--reinstall"],
        remove: ["purge", "--auto-remove"],
      },
      others: {
        apt: [],
        "apt-cache": [],
        "apt-mark": [],
        dpkg: [`--root=${mounted}`],
        "dpkg-query": [`--root=${mounted}`],
      },
    }),
    asked: async () => await readAsked(askedFile(apt.folder)),
    async keep() {
      if (packageCache === undefined) return;
      const fresh = (await plainFiles(apt.archives)).filter((name) => !before.has(name) && name.endsWith(".deb"));
      const ownNames = new Set(own === undefined ? [] : await plainFiles(options.ownFolder));
      await keepFiles(
        apt.archives,
        join(packageCache, "archives"),
        fresh.filter((name) => !ownNames.has(name)),
      );
    },
  };
}
