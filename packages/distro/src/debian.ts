/**
 * Where Debian and Ubuntu publish packages: archives, suites, components, keyrings and names of
 * architectures; and how this machine's own list of archives stands in for them.
 * @module
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError, systemErrorCode } from "@imgtool/core";
import { parseDeb822Sources, parseSourcesList } from "./apt-sources.ts";
import type { Repository } from "./distribution.ts";
import { mirrorUri } from "./mirror-uri.ts";
import { namedArchitecture } from "./named-architecture.ts";

/** A distribution that is made of .deb packages. */
export interface DebianFamily {
  readonly name: "debian" | "ubuntu";
  /** Package, and file, of the archive's public keys. */
  readonly keyringPackage: string;
  readonly keyring: string;
  readonly mirror: (architecture: string) => string;
  readonly securityMirror: (architecture: string) => string;
  /** Archive of what the mirrors had at a moment; of the main archive and that of security updates. */
  readonly snapshots: (mirror: string | undefined, moment: string) => readonly [main: string, security: string];
  /** Releases that have neither updates nor security archives. */
  readonly rolling: readonly string[];
}

export const debian: DebianFamily = {
  name: "debian",
  keyringPackage: "debian-archive-keyring",
  keyring: "/usr/share/keyrings/debian-archive-keyring.gpg",
  mirror: () => "http://deb.debian.org/debian",
  securityMirror: () => "http://security.debian.org/debian-security",
  snapshots: (mirror = "https://snapshot.debian.org", moment) => [
    `${mirror}/archive/debian/${moment}`,
    `${mirror}/archive/debian-security/${moment}`,
  ],
  rolling: ["sid", "unstable", "experimental", "rc-buggy"],
};

// Ubuntu keeps the architectures without desktop images on a server of their own.
const ubuntuMain = (architecture: string): boolean => architecture === "amd64" || architecture === "i386";

export const ubuntu: DebianFamily = {
  name: "ubuntu",
  keyringPackage: "ubuntu-keyring",
  keyring: "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
  mirror: (architecture) =>
    ubuntuMain(architecture) ? "http://archive.ubuntu.com/ubuntu" : "http://ports.ubuntu.com/ubuntu-ports",
  securityMirror: (architecture) =>
    ubuntuMain(architecture) ? "http://security.ubuntu.com/ubuntu" : "http://ports.ubuntu.com/ubuntu-ports",
  // One archive for all suites.
  snapshots: (mirror = "https://snapshot.ubuntu.com/ubuntu", moment) => [`${mirror}/${moment}`, `${mirror}/${moment}`],
  rolling: [],
};

const architectures: Readonly<Record<string, string>> = {
  "x86-64": "amd64",
  x86: "i386",
  arm64: "arm64",
  arm: "armhf",
  loongarch64: "loong64",
  "mips64-le": "mips64el",
  "ppc64-le": "ppc64el",
  riscv64: "riscv64",
  s390x: "s390x",
};

/**
 * Debian's name of a systemd architecture.
 * @throws ConfigError `architecture-unknown`
 */
export function debianArchitecture(architecture: string): string {
  return namedArchitecture({ title: "Debian", architectures }, architecture);
}

export interface RepositoryOptions {
  readonly release: string;
  /** Debian's name. */
  readonly architecture: string;
  readonly mirror?: string | undefined;
  /** Replaces all of them: one suite of this archive. */
  readonly localMirror?: string | undefined;
  /** Moment of the snapshot archive: 20250131T000000Z. */
  readonly snapshot?: string | undefined;
  readonly components: readonly string[];
  /** This machine's archives, where it runs the same distribution. */
  readonly host?: HostRepositories | undefined;
}

/**
 * The archives a release is installed from: main, updates and security suites. `mirror` replaces the
 * main archive; without it those of the host stand in, each for its own suite. A snapshot has all three.
 * @throws ConfigError `mirror-invalid`, `snapshot-invalid`
 */
export function repositoriesFor(family: DebianFamily, options: RepositoryOptions): Repository[] {
  const { release, components, snapshot, architecture } = options;
  const mirror = mirrorUri("Mirror", options.mirror);
  const localMirror = mirrorUri("LocalMirror", options.localMirror);
  if (localMirror !== undefined) {
    // As mkosi: whoever names one has one suite there, with one component.
    return [{ uri: localMirror, suite: release, components: ["main"], signedBy: family.keyring }];
  }
  const hosted = (suffix: string): Repository | undefined =>
    mirror === undefined && snapshot === undefined
      ? options.host?.repositories.find((entry) => entry.suite === `${options.host?.release ?? ""}${suffix}`)
      : undefined;
  const entry = (suffix: string, uri: string): Repository => {
    const own = hosted(suffix);
    return {
      uri: own?.uri ?? uri,
      suite: `${release}${suffix}`,
      components,
      signedBy: own?.signedBy ?? family.keyring,
    };
  };
  const [main, security] =
    snapshot === undefined
      ? [mirror ?? family.mirror(architecture), family.securityMirror(architecture)]
      : family.snapshots(mirror, checkMoment(snapshot));
  const first = entry("", main);
  if (family.rolling.includes(release)) return [first];
  return [first, entry("-updates", first.uri), entry("-security", security)];
}

function checkMoment(snapshot: string): string {
  if (/^\d{8}(?:T\d{6}Z)?$/.test(snapshot)) return snapshot;
  throw new ConfigError(`Snapshot=: ${JSON.stringify(snapshot)} is no moment of a snapshot archive`, {
    code: "snapshot-invalid",
    hint: "expected a date and time like 20250131T000000Z",
    data: { snapshot },
  });
}

export interface HostRepositories {
  /** The host's release: bookworm, noble, … */
  readonly release: string;
  readonly repositories: readonly Repository[];
}

/**
 * This machine's archives when it runs the distribution `name`, else undefined. `root` is for tests.
 * Archives of others are left out: only suites named after the release, with a component `main`.
 */
export async function readHostRepositories(name: string, root = "/"): Promise<HostRepositories | undefined> {
  const osRelease =
    (await readText(join(root, "etc/os-release"))) ?? (await readText(join(root, "usr/lib/os-release")));
  const field = (key: string): string | undefined =>
    new RegExp(`^${key}=["']?([^"'\\n]*)["']?$`, "m").exec(osRelease ?? "")?.[1];
  const release = field("VERSION_CODENAME");
  if (field("ID") !== name || release === undefined) return undefined;

  const apt = join(root, "etc/apt");
  const repositories = parseSourcesList((await readText(join(apt, "sources.list"))) ?? "", join(apt, "sources.list"));
  const folder = join(apt, "sources.list.d");
  for (const file of (await readNames(folder)).sort()) {
    const path = join(folder, file);
    if (file.endsWith(".list")) repositories.push(...parseSourcesList((await readText(path)) ?? "", path));
    else if (file.endsWith(".sources")) repositories.push(...parseDeb822Sources((await readText(path)) ?? ""));
  }
  const suites = new Set(["", "-updates", "-security"].map((suffix) => `${release}${suffix}`));
  return {
    release,
    repositories: repositories.filter(
      (entry) => suites.has(entry.suite) && entry.components.includes("main") && !entry.uri.startsWith("cdrom:"),
    ),
  };
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function readNames(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return [];
    throw error;
  }
}
