/**
 * CentOS Stream, RHEL's free rebuilds and RHEL itself: BaseOS, AppStream and CRB, as each of them
 * publishes these (centos.org, rockylinux.org, almalinux.org, "Repositories").
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

const { riscv64: _, ...architectures } = rpmArchitectures;
const parts: readonly string[] = ["BaseOS", "AppStream", "CRB"];

interface Publisher {
  readonly name: string;
  readonly title: string;
  /** File of the key, and where it is published. */
  keys(major: string): readonly (readonly [name: string, url: string])[];
  /** Path below a mirror, of `BaseOS` and the others. */
  path(part: string): string;
  /** The service that finds mirrors; undefined where a mirror must be named. */
  service?(part: string): Pick<RpmRepository, "kind" | "url">;
}

function enterpriseLinux(publisher: Publisher): RpmFamily {
  return {
    name: publisher.name,
    title: publisher.title,
    basePackages: () => ["basesystem"],
    databaseFolder: (release) => (Number(major(release)) > 9 ? "/usr/lib/sysimage/rpm" : "/var/lib/rpm"),
    variables: (release) => ({ stream: `${major(release)}-stream` }),
    architectures,
    repositories: (options) => repositories(publisher, options),
  };
}

function repositories(publisher: Publisher, options: RpmRepositoryOptions): RpmRepository[] {
  const { release, mirror, snapshot } = options;
  if (!/^\d+(?:\.\d+)?$/.test(release) || Number(major(release)) < 9) {
    throw new ConfigError(`${publisher.title} has no release "${release}" that imgtool can install`, {
      code: "release-unknown",
      hint: "Release= is a number from 9 on: 9, 10, 9.4",
      data: { release },
    });
  }
  if (snapshot !== undefined) throw snapshotUnsupported(publisher.title, snapshot);
  if (mirror === undefined && publisher.service === undefined) {
    throw new ConfigError(`${publisher.title} needs a mirror`, {
      code: "mirror-missing",
      hint: "its packages are for subscribers: name a mirror of yours with Mirror=",
    });
  }
  const keys = publisher.keys(major(release)).map(([name, url]) => options.key(name, url));
  return parts.map((part): RpmRepository => {
    const place =
      mirror === undefined
        ? publisher.service?.(part)
        : { kind: "baseurl" as const, url: `${mirror}/${publisher.path(part)}` };
    return { id: part.toLowerCase(), kind: "baseurl", url: "", ...place, keys, enabled: true };
  });
}

function major(release: string): string {
  return release.split(".")[0] ?? release;
}

export const centos: RpmFamily = enterpriseLinux({
  name: "centos",
  title: "CentOS Stream",
  keys: (major) => {
    const name = major === "9" ? "RPM-GPG-KEY-CentOS-Official" : "RPM-GPG-KEY-CentOS-Official-SHA256";
    return [[name, `https://www.centos.org/keys/${name}`]];
  },
  path: (part) => `$stream/${part}/$basearch/os`,
  service: (part) => ({
    kind: "metalink",
    url: `https://mirrors.centos.org/metalink?arch=$basearch&repo=centos-${part.toLowerCase()}-$stream`,
  }),
});

export const rocky: RpmFamily = enterpriseLinux({
  name: "rocky",
  title: "Rocky Linux",
  keys: (major) => [
    [`RPM-GPG-KEY-Rocky-${major}`, `https://download.rockylinux.org/pub/rocky/RPM-GPG-KEY-Rocky-${major}`],
  ],
  path: (part) => `$releasever/${part}/$basearch/os`,
  service: (part) => ({
    kind: "mirrorlist",
    url: `https://mirrors.rockylinux.org/mirrorlist?arch=$basearch&repo=${part}-$releasever`,
  }),
});

export const alma: RpmFamily = enterpriseLinux({
  name: "alma",
  title: "AlmaLinux",
  keys: (major) => [
    [`RPM-GPG-KEY-AlmaLinux-${major}`, `https://repo.almalinux.org/almalinux/RPM-GPG-KEY-AlmaLinux-${major}`],
  ],
  path: (part) => `$releasever/${part}/$basearch/os`,
  service: (part) => ({
    kind: "mirrorlist",
    url: `https://mirrors.almalinux.org/mirrorlist/$releasever/${part.toLowerCase()}`,
  }),
});

export const rhel: RpmFamily = enterpriseLinux({
  name: "rhel",
  title: "Red Hat Enterprise Linux",
  keys: () => [["RPM-GPG-KEY-redhat-release", "https://access.redhat.com/security/data/fd431d51.txt"]],
  path: (part) => (part === "CRB" ? "codeready-builder/$basearch/os" : `${part.toLowerCase()}/$basearch/os`),
});
