/**
 * Fedora's repositories and keys (docs.fedoraproject.org, "Repositories"; pub/fedora of its mirrors).
 * @module
 */
import {
  rpmArchitectures,
  snapshotUnsupported,
  type RpmFamily,
  type RpmRepository,
  type RpmRepositoryOptions,
} from "./rpm-family.ts";

const keyFolder = "https://raw.githubusercontent.com/rpm-software-management/distribution-gpg-keys/main/keys/fedora";

export const fedora: RpmFamily = {
  name: "fedora",
  title: "Fedora Linux",
  basePackages: () => ["basesystem"],
  databaseFolder: () => "/usr/lib/sysimage/rpm",
  architectures: rpmArchitectures,
  repositories,
};

function repositories({ release, mirror, snapshot, key }: RpmRepositoryOptions): RpmRepository[] {
  if (snapshot !== undefined) throw snapshotUnsupported(fedora.title, snapshot);
  const name = `RPM-GPG-KEY-fedora-${release}-primary`;
  const keys = [key(name, `${keyFolder}/${name}`)];
  const isRolling = release === "rawhide";
  const entry = (id: string, path: string, metalink: string, enabled = true): RpmRepository =>
    mirror === undefined
      ? {
          id,
          kind: "metalink",
          url: `https://mirrors.fedoraproject.org/metalink?arch=$basearch&repo=${metalink}`,
          keys,
          enabled,
        }
      : { id, kind: "baseurl", url: `${mirror}/linux/${path}`, keys, enabled };
  const main = isRolling ? "development" : "releases";
  const first = entry("fedora", `${main}/$releasever/Everything/$basearch/os`, "fedora-$releasever");
  if (isRolling) return [first];
  return [
    first,
    entry("updates", "updates/$releasever/Everything/$basearch", "updates-released-f$releasever"),
    entry("updates-testing", "updates/testing/$releasever/Everything/$basearch", "updates-testing-f$releasever", false),
  ];
}
