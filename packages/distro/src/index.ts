/**
 * Installs a distribution's packages into a tree.
 * @module
 */
import { ConfigError } from "@imgtool/core";
import { aptDistribution } from "./apt-distribution.ts";
import { arch } from "./arch.ts";
import { custom } from "./custom.ts";
import { debian, ubuntu } from "./debian.ts";
import type { Distribution } from "./distribution.ts";
import { dnf } from "./dnf.ts";
import { alma, centos, rhel, rocky } from "./enterprise-linux.ts";
import { fedora } from "./fedora.ts";
import { opensuse } from "./opensuse.ts";
import { pacmanDistribution } from "./pacman.ts";
import { rpmDistribution } from "./rpm-distribution.ts";
import { zypper } from "./zypper.ts";

export type * from "./distribution.ts";
export { notInstalled } from "./locked.ts";

const distributions: readonly Distribution[] = [
  ...[debian, ubuntu].map(aptDistribution),
  ...[fedora, centos, rhel, rocky, alma].map((family) => rpmDistribution(dnf, family)),
  rpmDistribution(zypper, opensuse),
  pacmanDistribution(arch),
  custom,
];

/** Names of the distributions that images can be made of. */
export const distributionNames: readonly string[] = distributions.map((distribution) => distribution.name);

/**
 * The distribution of a name: `debian`, `fedora`, `opensuse`, …
 * @throws ConfigError `distribution-unknown`
 */
export function distributionFor(name: string): Distribution {
  const found = distributions.find((distribution) => distribution.name === name);
  if (found !== undefined) return found;
  throw new ConfigError(`imgtool cannot install the distribution "${name}"`, {
    code: "distribution-unknown",
    hint: `Distribution= is one of ${distributionNames.join(", ")}`,
    data: { distribution: name, known: distributionNames },
  });
}
