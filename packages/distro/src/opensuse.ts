/**
 * openSUSE's repositories and keys (en.opensuse.org, "Package repositories").
 * @module
 */
import { ConfigError } from "@imgtool/core";
import {
  rpmArchitectures,
  snapshotUnsupported,
  type RpmFamily,
  type RpmRepository,
  type RpmRepositoryOptions,
} from "./rpm-family.ts";

// Where the architectures besides x86-64 are published.
const ports: Readonly<Record<string, string>> = {
  "x86-64": "",
  arm64: "/ports/aarch64",
  "ppc64-le": "/ports/ppc",
  riscv64: "/ports/riscv",
  s390x: "/ports/zsystems",
};

export const opensuse: RpmFamily = {
  name: "opensuse",
  title: "openSUSE",
  basePackages: (release, packages) => [
    "filesystem",
    // Nothing depends on it, and every system has one.
    ...(packages.some((name) => name.endsWith("-release")) ? [] : [releasePackage(release)]),
  ],
  databaseFolder: () => "/usr/lib/sysimage/rpm",
  architectures: rpmArchitectures,
  repositories,
};

function releasePackage(release: string): string {
  return release === "tumbleweed" || Number(release) < 16 ? "openSUSE-release" : "Leap-release";
}

function repositories({ release, architecture, mirror, snapshot, key }: RpmRepositoryOptions): RpmRepository[] {
  const base = `${mirror ?? "https://download.opensuse.org"}${ports[architecture] ?? ""}`;
  const keyOf = (name: string, repository: string): string => key(name, `${repository}/repodata/repomd.xml.key`);
  const entry = (id: string, url: string, enabled: boolean, keyName: string): RpmRepository => ({
    id,
    kind: "baseurl",
    url,
    keys: [keyOf(keyName, url)],
    enabled,
  });
  if (release === "tumbleweed") {
    const name = "RPM-GPG-KEY-openSUSE-Tumbleweed";
    const root = snapshot === undefined ? base : `${base}/history/${snapshot}`;
    return [
      entry("oss", `${root}/tumbleweed/repo/oss`, true, name),
      entry("non-oss", `${root}/tumbleweed/repo/non-oss`, false, name),
      ...(snapshot === undefined ? [entry("oss-update", `${base}/update/tumbleweed`, true, name)] : []),
    ];
  }
  if (snapshot !== undefined) throw snapshotUnsupported(`openSUSE Leap ${release}`, snapshot);
  if (!/^\d+\.\d+$/.test(release)) {
    throw new ConfigError(`openSUSE has no release "${release}"`, {
      code: "release-unknown",
      hint: "Release= is tumbleweed, or a release of Leap: 15.6, 16.0",
      data: { release },
    });
  }
  const name = "RPM-GPG-KEY-openSUSE";
  const distribution = `${base}/distribution/leap/${release}/repo`;
  // Leap 16 has no repository for updates beside its own.
  const updates = Number(release) >= 16 ? [] : [entry("oss-update", `${base}/update/leap/${release}/oss`, true, name)];
  return [
    entry("oss", `${distribution}/oss`, true, name),
    entry("non-oss", `${distribution}/non-oss`, false, name),
    ...updates,
  ];
}
