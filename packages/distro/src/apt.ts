/**
 * Downloads packages with apt, apart from any tree: a private apt root holds the lists of the archive
 * and the packages, so that everything that can go wrong with names, signatures and the network does
 * so before a tree is touched, and the whole download is known (and counted) beforehand.
 * @module
 */
import { chmod, copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { formatSize, NotFoundError, ProcessError, throwIfAborted, type Progress } from "@imgtool/core";
import { runTool, type ToolResult } from "@imgtool/host";
import { resolveInTree } from "@imgtool/sandbox";
import { aptError, errorOutput, missingVersions, unknownPackages } from "./apt-errors.ts";
import { formatSourcesLine } from "./apt-sources.ts";
import type { DebianFamily } from "./debian.ts";
import { cacheIncomplete } from "./cache-only.ts";
import type { InstallOptions, Repository } from "./distribution.ts";
import { localRepositoryPin } from "./local-packages.ts";
import { nearestNames } from "./nearest.ts";
import { fetchFiles, fetchPackages, keepFiles, plainFiles, type PackageFile } from "./package-cache.ts";

export interface AptOptions {
  readonly family: DebianFamily;
  readonly release: string;
  /** Debian's name. */
  readonly architecture: string;
  /** Folder of the private root. */
  readonly root: string;
  /** Tree whose packages are there already. Default: none are. */
  readonly installed?: string | undefined;
  readonly repositories: readonly Repository[];
  readonly keyCheck: boolean;
  readonly withRecommends: boolean;
  /** Lines of apt.conf taken over from the host: proxies. */
  readonly hostConfiguration: readonly string[];
  /** Whether the lists are of another day: their validity has ended. */
  readonly isSnapshot: boolean;
  readonly packageCache: string | undefined;
  readonly cacheOnly?: InstallOptions["cacheOnly"];
  /** The repository of the project's own packages, of which the lists are read in any case. */
  readonly own?: Repository | undefined;
  readonly progress: Progress;
  readonly signal: AbortSignal | undefined;
}

/** The pin that has apt satisfy `usrmerge | usr-is-merged` with the second: the tree is merged from the start. */
const mergedUsrPin = "Package: usrmerge\nPin: release *\nPin-Priority: -1\n";

/**
 * Without the cache of all packages, which takes as long as all else (1.2 s of processor time for Debian 13): a plan
 * makes it when it needs one, and the plan of a build that has nothing to do is kept.
 */
const updateArguments: readonly string[] = ["-opkgCacheFile::Generate=false", "update", "--error-on=any"];

export class AptRoot {
  readonly #options: AptOptions;

  constructor(options: AptOptions) {
    this.#options = options;
  }

  get folder(): string {
    return this.#options.root;
  }

  get sourceList(): string {
    return join(this.#options.root, "etc/apt/sources.list");
  }

  get lists(): string {
    return join(this.#options.root, "var/lib/apt/lists");
  }

  get archives(): string {
    return join(this.#options.root, "var/cache/apt/archives");
  }

  /** File with apt_preferences(5): what is chosen among packages of one name. */
  get preferences(): string {
    return join(this.#options.root, "etc/apt/preferences.d/imgtool");
  }

  get cache(): string {
    return join(this.#options.root, "var/cache/apt");
  }

  /** Writes the root: configuration, list of archives, an empty dpkg database. */
  async create(): Promise<void> {
    const { root, architecture, repositories, keyCheck, hostConfiguration } = this.#options;
    for (const folder of ["etc/apt/apt.conf.d", "etc/apt/preferences.d", "var/lib/dpkg"])
      await mkdir(join(root, folder), { recursive: true });
    for (const folder of [this.lists, this.archives]) {
      await mkdir(join(folder, "partial"), { recursive: true });
      // The tree's folders get the modes of these.
      await chmod(folder, 0o755);
    }
    const { installed } = this.#options;
    const status = join(root, "var/lib/dpkg/status");
    if (installed === undefined) await writeFile(status, "");
    else await copyFile(await resolveInTree(installed, "var/lib/dpkg/status", { followLast: true }), status);
    await writeFile(this.preferences, `${mergedUsrPin}\n${localRepositoryPin}`);
    await writeFile(
      join(root, "etc/apt/sources.list"),
      repositories.map((entry) => `${formatSourcesLine(entry, !keyCheck)}\n`).join(""),
    );
    const lines = [
      `Dir "${root}";`,
      `Dir::State::status "${root}/var/lib/dpkg/status";`,
      `Dir::Log "/dev/null";`,
      `Dir::Bin::methods "/usr/lib/apt/methods";`,
      `APT::Architecture "${architecture}";`,
      `APT::Architectures { "${architecture}"; };`,
      `APT::Install-Recommends "${String(this.#options.withRecommends)}";`,
      `Acquire::Languages "none";`,
      `Acquire::Retries "2";`,
      // A mirror that takes connections and says nothing is given up after two minutes, not ten.
      `Acquire::http::Timeout "10";`,
      `Acquire::https::Timeout "10";`,
      `Acquire::ForceHash "SHA256";`,
      // apt counts itself as essential otherwise.
      `pkgCacheGen::ForceEssential ",";`,
      ...hostConfiguration,
      ...(this.#options.isSnapshot ? [`Acquire::Check-Valid-Until "false";`] : []),
      "",
    ];
    await writeFile(this.#configuration, lines.join("\n"));
  }

  /** Downloads the lists of the archive, as far as the cached ones are out of date. */
  async update(): Promise<void> {
    const { packageCache, keyCheck, progress } = this.#options;
    // apt refuses a list whose signature it cannot verify where it had one before, whatever it is allowed.
    if (packageCache !== undefined && keyCheck) await fetchFiles(join(packageCache, "lists"), this.lists);
    const { cacheOnly = "nothing", own } = this.#options;
    const areCached = (await plainFiles(this.lists)).length > 0;
    if (cacheOnly === "everything" && !areCached) {
      const { family, release } = this.#options;
      throw cacheIncomplete(`the package lists of ${family.name} ${release}`);
    }
    if (cacheOnly !== "nothing" && areCached) {
      if (own !== undefined) await this.#updateOwn(own);
      return;
    }
    using task = progress.start({ label: "read package lists" });
    await this.#run("read the package lists", updateArguments, (line) => {
      const uri = /^(?:Get|Hit|Ign):\d+ (\S+ \S+)/.exec(line)?.[1];
      if (uri !== undefined) task.detail(uri);
    });
    if (packageCache !== undefined && keyCheck)
      await keepFiles(this.lists, join(packageCache, "lists"), (await plainFiles(this.lists)).filter(isOfServer));
    task.done();
  }

  async #updateOwn(own: Repository): Promise<void> {
    const list = join(this.#options.root, "own.list");
    await writeFile(list, `${formatSourcesLine(own, true)}\n`);
    const args = [`-oDir::Etc::sourcelist=${list}`, "-oAPT::Get::List-Cleanup=0", ...updateArguments];
    await this.#run("read the project's own packages", args);
  }

  /**
   * All that a plan depends on, after the lists have been read: what identifies the lists (each names the
   * digests of the others), the configuration, and what is installed.
   */
  async inputs(): Promise<string[]> {
    const { root, architecture, withRecommends } = this.#options;
    const lists = (await plainFiles(this.lists)).filter((name) => /_(?:In)?Release$|^_/.test(name));
    const files = [
      ...lists.map((name) => join(this.lists, name)),
      this.sourceList,
      this.preferences,
      join(root, "var/lib/dpkg/status"),
    ];
    const texts = await Promise.all(files.map(async (file) => await readFile(file, "utf8")));
    return [architecture, String(withRecommends), ...lists, ...texts];
  }

  /**
   * What the base system and `packages` need.
   * @throws NotFoundError `package-not-found` with the nearest names
   */
  async plan(packages: readonly string[]): Promise<Plan> {
    try {
      return await this.#plan(this.#options.installed === undefined ? ["usr-is-merged", ...packages] : packages);
    } catch (error) {
      const unknown = unknownOf(error);
      // Releases before bookworm have no such package, and nothing that depends on it.
      if (!unknown.includes("usr-is-merged")) throw await this.#explained(error);
    }
    try {
      return await this.#plan(packages);
    } catch (error) {
      throw await this.#explained(error);
    }
  }

  /** What every system has; a tree that has packages has it. */
  get #base(): readonly string[] {
    return this.#options.installed === undefined ? ["?essential"] : [];
  }

  async #plan(packages: readonly string[]): Promise<Plan> {
    const args = ["--yes", "--print-uris", "-qq", "install", "--", ...this.#base, ...packages];
    const result = await this.#run("choose packages", args);
    return { packages, files: parseUris(result.stdout) };
  }

  /** Brings the files to `archives`, from the cache where it has them. Returns what was downloaded. */
  async download({ files, packages }: Plan): Promise<PackageFile[]> {
    const { packageCache, progress, signal } = this.#options;
    const cache = packageCache === undefined ? undefined : join(packageCache, "archives");
    // Another build may have other bytes under the names of the project's own.
    const own = files.filter(({ uri }) => uri.startsWith("copy:"));
    const others = files.filter((file) => !own.includes(file));
    const missing = cache === undefined ? others : await fetchPackages(cache, this.archives, others);
    throwIfAborted(signal);
    if (missing.length > 0 && this.#options.cacheOnly === "everything")
      throw cacheIncomplete(`${missing.length} packages (${missing[0]?.file ?? ""} is the first)`);
    const total = sum(missing);
    if (missing.length + own.length === 0) return missing;
    using task = progress.start({ label: "download packages", unit: "bytes", total });
    let done = 0;
    const args = ["--yes", "--download-only", "-oAPT::Status-Fd=1", "install", "--", ...this.#base, ...packages];
    await this.#run("download packages", args, (line) => {
      const percent = /^dlstatus:\d+:([\d.]+):/.exec(line)?.[1];
      if (percent !== undefined) {
        const now = Math.round((total * Number(percent)) / 100);
        if (now > done) task.advance(now - done);
        done = Math.max(done, now);
      }
      const name = /^Get:\d+ \S+ \S+ \S+ (\S+) \S+ (\S+)/.exec(line);
      if (name !== null) task.detail(`${name[1] ?? ""} ${name[2] ?? ""}`);
    });
    if (cache !== undefined)
      await keepFiles(
        this.archives,
        cache,
        missing.map((file) => file.file),
      );
    task.done(`${missing.length} packages, ${formatSize(total)}`);
    return missing;
  }

  get #configuration(): string {
    return join(this.#options.root, "apt.conf");
  }

  async #run(doing: string, args: readonly string[], onLine?: (line: string) => void): Promise<ToolResult> {
    const { family, release, signal } = this.#options;
    // All of it is kept for the diagnosis: the line that matters may be far from the end.
    const lines: string[] = [];
    const keep = (line: string): void => {
      if (lines.length < 5000 && !line.startsWith("dlstatus:")) lines.push(line);
    };
    try {
      return await runTool("apt-get", args, {
        env: { APT_CONFIG: this.#configuration, ...proxyEnvironment() },
        signal,
        onStderrLine: keep,
        ...(onLine === undefined
          ? {}
          : {
              onStdoutLine: (line) => {
                keep(line);
                onLine(line);
              },
            }),
      });
    } catch (cause) {
      throw aptError({ doing, family, release, output: tail(lines, cause), cause });
    }
  }

  /** The error with the names that come nearest to those the archive does not have. */
  async #explained(cause: unknown): Promise<unknown> {
    const names = unknownOf(cause);
    if (names.length === 0) return cause;
    const { family, release, signal } = this.#options;
    const versions = missingVersions(errorOutput(cause));
    if (versions.length > 0) {
      return new NotFoundError(`${family.name} ${release} does not have ${versions.join(", ")}`, {
        code: "package-version-not-found",
        hint: "archives keep the newest version only: pin a version that is there, or none",
        data: { packages: names, versions, release },
        cause,
      });
    }
    const known = await runTool("apt-cache", ["pkgnames"], { env: { APT_CONFIG: this.#configuration }, signal });
    const all = known.stdout.split("\n");
    const suggestions = Object.fromEntries(names.map((name) => [name, nearestNames(name, all)]));
    const near = Object.values(suggestions).flat();
    return new NotFoundError(
      `${family.name} ${release} has no package${names.length === 1 ? "" : "s"} ${names.map((name) => `"${name}"`).join(", ")}`,
      {
        code: "package-not-found",
        hint:
          near.length > 0
            ? `did you mean ${near.join(", ")}? Packages= names them`
            : "correct Packages=, or add the component that has it to Repositories=",
        data: { packages: names, suggestions, release },
        cause,
      },
    );
  }
}

/** Whether a list is of another machine: apt names it after its URI, and those of files begin with a slash. */
function isOfServer(name: string): boolean {
  return !name.startsWith("_");
}

/** What an install will take: the packages asked for, and every file they need. */
export interface Plan {
  readonly packages: readonly string[];
  readonly files: readonly PackageFile[];
}

function unknownOf(error: unknown): string[] {
  return unknownPackages(errorOutput(error));
}

/** Parses what `apt-get --print-uris` prints: 'URI' file size hash. */
export function parseUris(text: string): PackageFile[] {
  const files: PackageFile[] = [];
  for (const line of text.split("\n")) {
    const match = /^'([^']+)' (\S+) (\d+)(?: (?:SHA256:([0-9a-f]{64})|\S*))?/.exec(line);
    if (match === null) continue;
    const [, uri = "", file = "", size = "0", sha256] = match;
    files.push({ uri, file, size: Number(size), sha256 });
  }
  return files;
}

/** Settings of the host's apt that its network needs: proxies, and how strict it is about dates. */
export async function hostAptConfiguration(signal: AbortSignal | undefined): Promise<string[]> {
  try {
    const dump = await runTool("apt-config", ["dump", "--no-empty", "--format", '%F "%v";%n', "Acquire"], { signal });
    return (
      dump.stdout
        .split("\n")
        // What the caller or the project names comes before what the machine has.
        .filter((line) => process.env["http_proxy"] === undefined || !/^Acquire::https?::Proxy\b/i.test(line))
        .filter((line) => /^Acquire::(?:https?::(?!User-Agent)|Check-|Max-ValidTime|Min-ValidTime)/i.test(line))
    );
  } catch (error) {
    if (error instanceof ProcessError) return [];
    throw error;
  }
}

/** The caller's proxy variables: apt honours them, but a clean environment lacks them. */
export function proxyEnvironment(): Record<string, string> {
  const result: Record<string, string> = {};
  for (const name of ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy"]) {
    const value = process.env[name] ?? process.env[name.toUpperCase()];
    if (value !== undefined) result[name] = value;
  }
  return result;
}

function sum(files: readonly PackageFile[]): number {
  return files.reduce((total, file) => total + file.size, 0);
}

function tail(lines: readonly string[], cause: unknown): string {
  if (lines.length > 0) return lines.slice(-200).join("\n");
  return errorOutput(cause);
}
