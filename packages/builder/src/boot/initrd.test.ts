import type { ImageConfig } from "@imgtool/config";
import { expect, test } from "vitest";
import { testConfig } from "../../test/config.ts";
import { configDigest } from "../record.ts";
import { initrdConfig } from "./initrd.ts";

const digest = (changes: Partial<ImageConfig> = {}): string =>
  configDigest(initrdConfig(testConfig("/project", { distribution: "debian", ...changes }), "/out"));

test.for<Partial<ImageConfig>>([
  { imageVersion: "2", output: "thing_2" },
  // The time of the newest of the project's files.
  { sourceDateEpoch: 1_700_000_000 },
  { kernelCommandLine: ["quiet"] },
  { packages: ["nginx"] },
  { format: "disk", rootFilesystem: "btrfs", readOnly: true, encrypt: "all", passphraseFile: "/p" },
  { bootloader: "uki", unifiedKernelImageFormat: "one", splash: "/picture" },
])("the initrd is the same for an image with %o", (changes) => {
  expect(digest(changes)).toBe(digest());
});

test.for<Partial<ImageConfig>>([
  { release: "trixie" },
  { initrdPackages: ["nano"] },
  { locale: "de_DE.UTF-8" },
  { rootPassword: "secret" },
])("the initrd is another for an image with %o", (changes) => {
  expect(digest(changes)).not.toBe(digest());
});
