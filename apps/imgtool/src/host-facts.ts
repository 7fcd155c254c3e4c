/**
 * What the defaults of the configuration need to know of this machine.
 * @module
 */
import { readFileSync } from "node:fs";
import { parseEnv } from "node:util";
import type { HostFacts } from "@imgtool/config";

// Node.js's names to systemd's (systemd.unit(5), ConditionArchitecture=).
const architectures: Readonly<Record<string, string>> = {
  x64: "x86-64",
  arm64: "arm64",
  arm: "arm",
  ia32: "x86",
  riscv64: "riscv64",
  loong64: "loongarch64",
  ppc64: "ppc64-le",
  s390x: "s390x",
};

/** Reads os-release(5); a machine without one has no distribution of its own. */
export function hostFacts(): HostFacts {
  const release = parseEnv(osRelease());
  return {
    distribution: release["ID"],
    release: release["VERSION_CODENAME"] ?? release["VERSION_ID"],
    architecture: architectures[process.arch] ?? process.arch,
  };
}

function osRelease(): string {
  for (const path of ["/etc/os-release", "/usr/lib/os-release"]) {
    try {
      return readFileSync(path, "utf8");
    } catch {
      // the other place
    }
  }
  return "";
}
