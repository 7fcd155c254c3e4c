/**
 * Arch Linux's repositories (wiki.archlinux.org, "Official repositories", "Arch Linux Archive").
 * @module
 */
import { ConfigError } from "@imgtool/core";

/** One repository; its server may hold `$repo` and `$arch`. */
export interface PacmanRepository {
  readonly name: string;
  readonly server: string;
}

export interface PacmanFamily {
  readonly name: string;
  /** For messages. */
  readonly title: string;
  /** Whose package brings the root's folders and links: installed before all else. */
  readonly basePackages: readonly string[];
  /** Debian's package with the keys. */
  readonly keyringPackage: string;
  readonly architectures: Readonly<Record<string, string>>;
  /** Optional repositories, in the order in which they go before the others. */
  readonly optional: readonly string[];
  readonly repositories: readonly string[];
  server(options: { readonly mirror: string | undefined; readonly snapshot: string | undefined }): string;
}

export const arch: PacmanFamily = {
  name: "arch",
  title: "Arch Linux",
  basePackages: ["filesystem"],
  keyringPackage: "archlinux-keyring",
  architectures: { "x86-64": "x86_64" },
  optional: ["core-testing", "extra-testing", "multilib-testing", "multilib"],
  repositories: ["core", "extra"],
  server({ mirror, snapshot }) {
    if (snapshot === undefined) return `${mirror ?? "https://geo.mirror.pkgbuild.com"}/$repo/os/$arch`;
    if (!/^\d{4}\/\d{2}\/\d{2}$/.test(snapshot)) {
      throw new ConfigError(`Snapshot=: ${JSON.stringify(snapshot)} is no day of Arch Linux's archive`, {
        code: "snapshot-invalid",
        hint: "expected a date like 2025/01/31",
        data: { snapshot },
      });
    }
    return `${mirror ?? "https://archive.archlinux.org"}/repos/${snapshot}/$repo/os/$arch`;
  },
};
