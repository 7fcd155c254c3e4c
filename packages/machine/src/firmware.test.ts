import { mkdirSync, writeFileSync } from "node:fs";
import { temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { findFirmware } from "./firmware.ts";

interface Descriptor {
  readonly features?: readonly string[];
  readonly architecture?: string;
  readonly device?: string;
  readonly machines?: readonly string[];
}

function descriptor(folder: TemporaryFolder, name: string, { features = [], ...rest }: Descriptor): void {
  for (const part of ["code", "variables"]) writeFileSync(folder.join(`${name}.${part}`), "");
  const text = JSON.stringify({
    "interface-types": ["uefi"],
    mapping: {
      device: rest.device ?? "flash",
      executable: { filename: folder.join(`${name}.code`), format: "raw" },
      "nvram-template": { filename: folder.join(`${name}.variables`), format: "raw" },
    },
    targets: [{ architecture: rest.architecture ?? "x86_64", machines: rest.machines ?? ["pc-q35-*"] }],
    features,
  });
  writeFileSync(folder.join("firmware", `${name}.json`), text);
}

test("the first descriptor by name that fits is taken", async () => {
  using folder = temporaryFolder();
  mkdirSync(folder.join("firmware"));
  descriptor(folder, "10-arm", { architecture: "aarch64" });
  descriptor(folder, "20-memory", { device: "memory" });
  descriptor(folder, "25-old", { machines: ["pc-i440fx-*"] });
  descriptor(folder, "40-enrolled", { features: ["secure-boot", "enrolled-keys", "requires-smm"] });
  descriptor(folder, "50-secure", { features: ["secure-boot", "requires-smm"] });
  descriptor(folder, "60-plain", {});
  descriptor(folder, "70-plain", {});
  writeFileSync(folder.join("firmware/00-broken.json"), "{");
  const folders = [folder.join("none"), folder.join("firmware")];
  const code = async (secureBoot: boolean, hasKeys: boolean): Promise<string> =>
    (await findFirmware({ secureBoot, hasKeys }, folders)).code.path;
  expect(await code(false, false)).toBe(folder.join("60-plain.code"));
  expect(await code(true, false)).toBe(folder.join("50-secure.code"));
  expect(await code(true, true)).toBe(folder.join("40-enrolled.code"));
  expect((await findFirmware({ secureBoot: true, hasKeys: false }, folders)).needsSmm).toBe(true);
  await expect(findFirmware({ secureBoot: false, hasKeys: true }, folders)).rejects.toMatchObject({
    code: "firmware-missing",
    hint: "apt-get install ovmf",
  });
});

test("a descriptor hides one of the same name in a later folder", async () => {
  using first = temporaryFolder();
  using second = temporaryFolder();
  for (const folder of [first, second]) mkdirSync(folder.join("firmware"));
  descriptor(first, "50-x", {});
  descriptor(second, "50-x", {});
  const found = await findFirmware({ secureBoot: false, hasKeys: false }, [
    first.join("firmware"),
    second.join("firmware"),
  ]);
  expect(found.code.path).toBe(first.join("50-x.code"));
});
