import { expect, test } from "vitest";
import { chooseBoot, type BootSettings } from "./choose-boot.ts";
import type { RunnableImage } from "./image.ts";

const settings: BootSettings = {
  console: "native",
  firmware: "auto",
  firmwareVariables: undefined,
  initrds: [],
  kernelCommandLine: [],
  kernelCommandLineExtra: [],
  linux: undefined,
  secureBoot: false,
  secureBootCertificate: undefined,
};
const root = { type: "root-x86-64", uuid: "11111111-2222-4333-8444-555555555555" };
const image: RunnableImage = {
  name: "thing",
  architecture: "x86-64",
  kind: "disk",
  path: "/out/thing.raw",
  diskFormat: "raw",
  sectorSize: 512,
  partitions: [root],
  rootHash: undefined,
  kernel: undefined,
  initrds: [],
};
const esp = { type: "esp", uuid: "66666666-7777-4888-9999-aaaaaaaaaaaa" };

test("firmware follows from the partitions", () => {
  expect(chooseBoot(settings, { ...image, partitions: [esp, root] })).toMatchObject({
    kind: "uefi",
    secureBoot: false,
  });
  expect(chooseBoot({ ...settings, secureBoot: true }, { ...image, partitions: [esp, root] })).toMatchObject({
    kind: "uefi",
    secureBoot: true,
  });
  expect(chooseBoot(settings, { ...image, partitions: [{ type: "bios-boot", uuid: "" }, root] })).toEqual({
    kind: "bios",
  });
  expect(() => chooseBoot(settings, image)).toThrow(expect.objectContaining({ code: "image-not-bootable" }) as Error);
});

const line = (changes: Partial<RunnableImage>, given: Partial<BootSettings> = {}): string => {
  const boot = chooseBoot({ ...settings, linux: "/k", ...given }, { ...image, ...changes });
  return boot.kind === "bios" ? "" : boot.kernelCommandLine.join(" ");
};

test("a kernel that QEMU loads is told where the root file system is", () => {
  expect(line({})).toBe(`root=PARTUUID=${root.uuid} rw console=ttyS0`);
  expect(line({ rootHash: "ab", partitions: [root, { type: "root-x86-64-verity", uuid: "" }] })).toBe(
    "roothash=ab rw console=ttyS0",
  );
  expect(line({ rootHash: "ab", partitions: [{ type: "usr-x86-64-verity", uuid: "" }] })).toBe(
    "usrhash=ab rw console=ttyS0",
  );
  expect(
    line({}, { kernelCommandLine: ["root=/dev/vdb", "ro", "console=hvc0"], kernelCommandLineExtra: ["quiet"] }),
  ).toBe("root=/dev/vdb ro console=hvc0 quiet");
});

test("Linux= and Initrds= win over the image's own kernel", () => {
  const own = { ...image, kernel: "/own", initrds: ["/own-initrd"] };
  expect(chooseBoot(settings, own)).toMatchObject({ kind: "linux", kernel: "/own", initrds: ["/own-initrd"] });
  expect(chooseBoot({ ...settings, linux: "/k", initrds: ["/i"] }, own)).toMatchObject({
    kernel: "/k",
    initrds: ["/i"],
  });
});

test("firmware starts from nothing, from a file, from a vendor's keys or from the project's", () => {
  const known = { ...image, partitions: [esp, root] };
  const secure = { ...settings, firmware: "uefi-secure-boot" as const, secureBootCertificate: "/mkosi.crt" };
  const chosen = (firmwareVariables: string | undefined) => chooseBoot({ ...secure, firmwareVariables }, known);
  expect(chosen(undefined)).toEqual({ kind: "uefi", secureBoot: true, kernelCommandLine: [] });
  expect(chosen("/vars.fd")).toMatchObject({ variables: "/vars.fd" });
  expect(chosen("microsoft")).toMatchObject({ variables: "vendor" });
  expect(chosen("custom")).toMatchObject({ certificate: "/mkosi.crt" });
});

test("a unified kernel image is started by firmware, signed or not", () => {
  const uki = { ...image, kind: "uki" as const, path: "/thing.efi", partitions: [] };
  expect(chooseBoot(settings, uki)).toMatchObject({ kind: "uefi", secureBoot: false, program: "/thing.efi" });
  expect(chooseBoot({ ...settings, secureBoot: true }, uki)).toMatchObject({ secureBoot: true, program: "/thing.efi" });
});

const refused: readonly (readonly [Partial<BootSettings>, string])[] = [
  [{ firmware: "uefi", linux: "/k" }, "firmware-setting-unused"],
  [{ firmware: "bios", kernelCommandLineExtra: ["quiet"] }, "firmware-setting-unused"],
  [{ firmware: "uefi", firmwareVariables: "microsoft" }, "firmware-setting-unused"],
  [{ firmware: "uefi-secure-boot", firmwareVariables: "custom" }, "firmware-variables-unsupported"],
  [{ firmware: "uefi", firmwareVariables: "custom" }, "firmware-setting-unused"],
  [{ firmware: "linux" }, "image-not-bootable"],
];

test.for(refused)("what would have no effect is refused: %o", ([changes, code]) => {
  expect(() => chooseBoot({ ...settings, ...changes }, { ...image, partitions: [esp, root] })).toThrow(
    expect.objectContaining({ code }) as Error,
  );
});
