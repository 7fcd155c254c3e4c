/**
 * Installs a distribution's packages into a tree.
 * @module
 */
import { ConfigError } from "@imgtool/core";
import { aptDistribution } from "./apt-distribution.ts";
import { custom } from "./custom.ts";
import { debian, ubuntu } from "./debian.ts";
import type { Distribution } from "./distribution.ts";

export type * from "./distribution.ts";

const distributions: readonly Distribution[] = [aptDistribution(debian), aptDistribution(ubuntu), custom];

/** Names of the distributions that images can be made of. */
export const distributionNames: readonly string[] = distributions.map((distribution) => distribution.name);

/**
 * The distribution of a name: `debian`, `ubuntu`.
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
