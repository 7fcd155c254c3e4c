/**
 * Distribution=custom: an image made of the project's own trees alone.
 * @module
 */
import { ConfigError } from "@imgtool/core";
import type { Distribution } from "./distribution.ts";
import { cleanDpkgMetadata, cleanDpkgVolatile, listDpkgPackages } from "./dpkg.ts";

export const custom: Distribution = {
  name: "custom",
  packageType: "deb",
  async prepareTree() {},
  async install({ packages }) {
    refusePackages(packages);
    return { packages: [], repositories: [], downloaded: { files: 0, bytes: 0 } };
  },
  // Its trees are the project's own.
  fingerprint: async (_, lists) => lists.map(() => "no packages"),
  async remove({ packages }) {
    refusePackages(packages);
  },
  // The trees may well hold what another tool installed.
  listPackages: listDpkgPackages,
  cleanMetadata: cleanDpkgMetadata,
  cleanVolatile: cleanDpkgVolatile,
};

function refusePackages(packages: readonly string[]): void {
  const [first] = packages;
  if (first === undefined) return;
  throw new ConfigError(`the distribution "custom" has no package "${first}", nor any other`, {
    code: "packages-unsupported",
    hint: "set Distribution=, or take Packages= out",
    data: { packages },
  });
}
