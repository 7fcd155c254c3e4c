import { expect, test } from "vitest";
import { testConfig } from "../../test/config.ts";
import { initrdPackages } from "./initrd-packages.ts";

test("the initrd's packages are the release's own, and those that the project adds", () => {
  const added = { initrdPackages: ["own"], initrdVolatilePackages: ["newest"] };
  const packages = (release: string): string[] =>
    initrdPackages(testConfig("/project", { distribution: "debian", release, ...added }));
  expect(packages("trixie")).toEqual(expect.arrayContaining(["systemd", "systemd-cryptsetup", "own", "newest"]));
  expect(packages("bookworm")).not.toContain("systemd-cryptsetup");
});
