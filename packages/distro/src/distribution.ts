/**
 * What every distribution does for a build. One file per package manager implements it; the builder
 * knows this interface only.
 * @module
 */
import type { Progress } from "@imgtool/core";

/** A package as it is installed in a tree. */
export interface InstalledPackage {
  readonly name: string;
  readonly version: string;
  /** The distribution's own name of the architecture: amd64, all, … */
  readonly architecture: string;
  /** Name of the source package, where it differs from `name`. */
  readonly source?: string;
  /** What its licence is, where the database says so. */
  readonly license?: string;
  /** SHA-256 of the package's file, hexadecimal, where the file was at hand. */
  readonly sha256?: string;
  /** SHA-256 of the header of an RPM package, hexadecimal: of what is known of it and of its files' digests. */
  readonly headerSha256?: string;
}

/** A package that a build must take in this very form. */
export interface LockedPackage {
  readonly name: string;
  readonly version: string;
  /** The distribution's own name of the architecture. */
  readonly architecture: string;
  /** SHA-256 of the package's file, hexadecimal. */
  readonly sha256: string;
  /** Where the file was when it was locked, below the mirror: a name alone for one of the project's own. */
  readonly path: string;
}

/** Packages that are to be locked. */
export interface LockRequest {
  readonly packages: readonly string[];
  /** What is installed before them, which is not theirs. Default: what is in the tree; none bring the base system. */
  readonly onto?: readonly string[];
}

/** The form of a distribution's packages, as mkosi's manifest names it. */
export type PackageType = "deb" | "rpm" | "pkg";

/** One suite of a package archive. */
export interface Repository {
  readonly uri: string;
  readonly suite: string;
  readonly components: readonly string[];
  /** Keyring on this machine that its signatures are checked against. */
  readonly signedBy?: string;
  /** Taken without signatures: made of the project's own packages, for one build. */
  readonly trusted?: boolean;
}

export interface InstallOptions {
  /** The image's tree, prepared with `prepareTree`. */
  readonly tree: string;
  /** An empty folder for the package manager's own files; on the file system of `tree` if possible. */
  readonly workspace: string;
  readonly release: string;
  /** systemd's architecture name: x86-64, arm64, … */
  readonly architecture: string;
  /** Packages besides the base system: `name`, `name=version`. */
  readonly packages: readonly string[];
  /** All packages that there may be, those of the base system among them; none but these is installed, by scripts neither. */
  readonly locked?: readonly LockedPackage[] | undefined;
  /** URI of the archive; without it this machine's own where it has one, else the distribution's. */
  readonly mirror?: string | undefined;
  /** URI of one repository to install from in place of all others; the image does not learn of it. */
  readonly localMirror?: string | undefined;
  /** Moment of the distribution's snapshot archive, in the distribution's own form. */
  readonly snapshot?: string | undefined;
  /**
   * Folders with package files, which come before those of the archives whatever their versions are. Files
   * of other forms are passed over.
   */
  readonly packageDirectories?: readonly string[];
  /** Components (Debian, Ubuntu) besides the default ones. */
  readonly repositories?: readonly string[];
  /** Whether signatures of the archive are checked. Default true. */
  readonly repositoryKeyCheck?: boolean;
  /** Whether keys that this machine lacks are fetched from the distribution. Default false. */
  readonly repositoryKeyFetch?: boolean;
  /**
   * Folder with the package manager's configuration and keys, at the places where a machine has them
   * (etc/pki/rpm-gpg, etc/yum.repos.d, etc/pacman.d/gnupg, …). What is in it comes before this machine's.
   */
  readonly sandboxTree?: string | undefined;
  /** Whether recommended packages come along. Default false. */
  readonly withRecommends?: boolean;
  /** Whether documentation is unpacked. Default true. */
  readonly withDocs?: boolean;
  /** Folder that keeps downloads from build to build; any number of builds may share it at a time. */
  readonly packageCache?: string | undefined;
  /**
   * What the network may not be asked for again: the lists of the repositories that are cached; or at all:
   * what the package cache does not have is an error then. Default "nothing".
   */
  readonly cacheOnly?: "nothing" | "metadata" | "everything";
  readonly sourceDateEpoch?: number;
  readonly progress?: Progress;
  readonly signal?: AbortSignal | undefined;
}

export interface InstallResult {
  readonly packages: readonly InstalledPackage[];
  readonly repositories: readonly Repository[];
  /** What was not in the package cache. */
  readonly downloaded: { readonly files: number; readonly bytes: number };
}

export interface RemoveOptions {
  readonly tree: string;
  readonly packages: readonly string[];
  readonly architecture: string;
  readonly progress?: Progress;
  readonly signal?: AbortSignal | undefined;
}

/** What lets scripts beside an image install packages into it. */
export interface ScriptTools {
  /** Folders and files of this machine that the programs use, and where they expect them. */
  readonly mounts: readonly { readonly source: string; readonly target: string; readonly writable?: boolean }[];
  /**
   * Shell scripts by name: mkosi-install, mkosi-upgrade, mkosi-reinstall, mkosi-remove, and the package
   * manager itself, which acts on the image under its own name.
   */
  readonly programs: Readonly<Record<string, string>>;
  /** Keeps for the next build what was downloaded since. */
  keep(): Promise<void>;
  /** Names of the packages that scripts have asked for, sorted. */
  asked(): Promise<readonly string[]>;
}

export interface Distribution {
  readonly name: string;
  readonly packageType: PackageType;
  /** What it keeps below a package cache: the path of a folder there. Without one it keeps nothing. */
  cacheName?(release: string): string;
  /** The distribution's name for an architecture of systemd's: amd64 for x86-64. Default: the same name. */
  architectureName?(architecture: string): string;
  /** Makes what must be in an empty tree before anything else: the usr-merge links. */
  prepareTree(tree: string, architecture: string): Promise<void>;
  /**
   * Installs the base system and packages.
   * @throws NotFoundError for a package or release that the archive does not have, NetworkError when
   *   the archive cannot be reached, IntegrityError for a signature that does not fit,
   *   EnvironmentError for a missing tool, keyring or space, ProcessError for all else
   */
  install(options: InstallOptions): Promise<InstallResult>;
  /**
   * Digests of what `install` would install now for each of the lists of packages, in the place of those
   * of `options`, from the repositories as they are now; installs nothing. They differ whenever that differs, and
   * may differ where it does not. A distribution without it, and one that returns none, cannot tell.
   * @throws as install
   */
  fingerprint?(options: InstallOptions, lists: readonly (readonly string[])[]): Promise<string[]>;
  /**
   * The packages that `install` would install now for each of the requests, to be given as `locked` later.
   * @throws as install
   */
  lock?(options: InstallOptions, requests: readonly LockRequest[]): Promise<LockedPackage[][]>;
  /**
   * Programs for scripts that run beside the tree, which they find at `mounted`. Prepares them without the
   * network: it is the first program that reads the repositories, where its script has a network.
   */
  scriptTools?(options: InstallOptions, mounted: string): Promise<ScriptTools>;
  /** Uninstalls packages, and what came along for them only. */
  remove(options: RemoveOptions): Promise<void>;
  /** The packages in a tree, sorted by name. */
  listPackages(tree: string): Promise<InstalledPackage[]>;
  /** Removes the package manager's database: the image can no longer install or remove packages. */
  cleanMetadata(tree: string): Promise<void>;
  /** Removes what differs from build to build: logs, caches, backups of the database. */
  cleanVolatile(tree: string): Promise<void>;
}
