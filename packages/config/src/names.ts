/**
 * The distributions, releases and architectures that projects name.
 * @module
 */

export interface Distribution {
  readonly name: string;
  /** The release of a project that names none and is not built on the same distribution. */
  readonly defaultRelease: string;
  /** File system that the distribution's own installer uses, for the specifier %F. */
  readonly filesystem: string;
}

const distribution = (name: string, defaultRelease: string, filesystem = "ext4"): Distribution => ({
  name,
  defaultRelease,
  filesystem,
});

/**
 * mkosi's distributions. Releases that name a moving target there (Debian's testing) are a stable one
 * here: what a build yields should not depend on the day.
 */
const distributions: readonly Distribution[] = [
  distribution("fedora", "41", "btrfs"),
  distribution("debian", "trixie"),
  distribution("kali", "kali-rolling"),
  distribution("ubuntu", "noble"),
  distribution("arch", "rolling"),
  distribution("opensuse", "tumbleweed", "btrfs"),
  distribution("mageia", "cauldron"),
  distribution("centos", "10", "xfs"),
  distribution("rhel", "10", "xfs"),
  distribution("rhel-ubi", "10", "xfs"),
  distribution("openmandriva", "cooker"),
  distribution("postmarketos", "edge"),
  distribution("rocky", "10", "xfs"),
  distribution("alma", "10", "xfs"),
  distribution("azure", "3.0"),
  distribution("custom", ""),
];

export const distributionNames: readonly string[] = distributions.map((entry) => entry.name);

/** The distribution of that name, or undefined. */
export function findDistribution(name: string): Distribution | undefined {
  return distributions.find((entry) => entry.name === name);
}

/** systemd's names, as `Architecture=` takes them. */
export const architectures: readonly string[] = [
  "alpha",
  "arc",
  "arm",
  "arm64",
  "ia64",
  "loongarch64",
  "mips-le",
  "mips64-le",
  "parisc",
  "ppc",
  "ppc64",
  "ppc64-le",
  "riscv32",
  "riscv64",
  "s390",
  "s390x",
  "tilegx",
  "x86",
  "x86-64",
];

/** Architectures that UEFI firmware is specified for: what `Architecture=uefi` matches. */
export const uefiArchitectures: readonly string[] = ["arm", "arm64", "loongarch64", "riscv64", "x86", "x86-64"];
