/**
 * What the distributions that are made of RPM packages differ in.
 * @module
 */
import { ConfigError } from "@imgtool/core";

/** One repository, as dnf and zypper know it. Addresses may hold `$releasever`, `$basearch` and `$stream`. */
export interface RpmRepository {
  readonly id: string;
  readonly kind: "baseurl" | "metalink" | "mirrorlist";
  readonly url: string;
  /** Files or URLs of the keys that its packages are signed with. */
  readonly keys: readonly string[];
  readonly enabled: boolean;
}

export interface RpmRepositoryOptions {
  readonly release: string;
  /** systemd's name. */
  readonly architecture: string;
  /** URI without a slash at its end; without it the distribution's own service that finds one. */
  readonly mirror: string | undefined;
  readonly snapshot: string | undefined;
  /** The place of a key by its file's name: on this machine, else the URL. */
  readonly key: (name: string, url: string) => string;
}

export interface RpmFamily {
  readonly name: string;
  /** For messages. */
  readonly title: string;
  /** Whose packages bring the root's folders and links: installed before all else. */
  basePackages(release: string, packages: readonly string[]): readonly string[];
  /** Where rpm keeps its database, from the root. */
  databaseFolder(release: string): string;
  /** Variables of dnf besides `releasever`, which the addresses hold. */
  variables?(release: string): Readonly<Record<string, string>>;
  /** systemd's architectures that it is made for, with its own names. */
  readonly architectures: Readonly<Record<string, string>>;
  /** @throws ConfigError `snapshot-unsupported`, `release-unknown` */
  repositories(options: RpmRepositoryOptions): readonly RpmRepository[];
}

/** Names of the architectures that Red Hat's family and openSUSE share. */
export const rpmArchitectures = {
  arm64: "aarch64",
  "ppc64-le": "ppc64le",
  riscv64: "riscv64",
  s390x: "s390x",
  "x86-64": "x86_64",
} as const;

export function snapshotUnsupported(title: string, snapshot: string): ConfigError {
  return new ConfigError(`${title} has no archive of snapshots: Snapshot=${snapshot} cannot be used`, {
    code: "snapshot-unsupported",
    hint: "take Snapshot= out, or name a mirror of that moment with Mirror=",
    data: { snapshot },
  });
}
