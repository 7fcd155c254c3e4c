import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { makeSigner } from "@imgtool/cms/node";
import { ImgtoolError } from "@imgtool/core";
import {
  makeStub,
  sbatHead,
  stubSections,
  testCertificate,
  testKernel,
  testKey,
  needPrograms,
  run,
  tryRun,
  temporaryFolder,
} from "@imgtool/testkit";
import {
  array,
  assert,
  boolean,
  constantFrom,
  nat,
  property,
  record,
  tuple,
  uint8Array,
  uniqueArray,
} from "fast-check";
import { expect, test } from "vitest";
import { goldenParts } from "../test/parts.ts";
import { kernelVersion } from "./kernel-version.ts";
import { measureUki } from "./measure-uki.ts";
import { peContent, readPe } from "./pe.ts";
import { assembleUki, layoutUki, stubVersion, ukiSbatSection } from "./uki.ts";
import { writeUki } from "./uki-file.ts";

const text = (bytes: Uint8Array | undefined): string => new TextDecoder("latin1").decode(bytes);

const pcrSigner = makeSigner({ key: Buffer.from(testKey), certificate: Buffer.from(testCertificate) });

test.for([
  ["", "uki.efi", undefined],
  [", with signed policies for a TPM", "uki-pcr.efi", pcrSigner],
] as const)("the image has the bytes that ukify writes%s", async ([, name, signer]) => {
  using folder = temporaryFolder();
  const path = (name: string): string => folder.join(name);
  writeFileSync(path("stub"), makeStub());
  for (const [name, content] of Object.entries(goldenParts)) writeFileSync(path(name), content);
  const { size } = await writeUki({
    output: path("uki.efi"),
    stub: path("stub"),
    linux: path("linux"),
    initrds: [path("initrd"), path("modules")],
    osRelease: text(goldenParts["osRelease"]),
    commandLine: "root=/dev/x rw",
    uname: "6.1.0-test",
    devicetree: path("dtb"),
    splash: path("splash"),
    microcode: path("ucode"),
    pcrSigner: signer,
  });
  const golden = readFileSync(new URL(`../test/golden/${name}`, import.meta.url));
  expect(size).toBe(golden.length);
  expect(readFileSync(path("uki.efi")).equals(golden)).toBe(true);
});

test("an image is measured as systemd-measure measures it, in every bank", async () => {
  const golden = new URL("../test/golden/", import.meta.url);
  const measured = await measureUki(new URL("uki.efi", golden).pathname);
  // The same names in the same order; white space is the file's own.
  const expected: unknown = JSON.parse(readFileSync(new URL("uki.pcrs.json", golden), "utf8"));
  expect(JSON.stringify(measured)).toBe(JSON.stringify(expected));
  // Of an image with several ways to boot, it is the first: the policies that it signs are those of its values.
  const signed = await measureUki(new URL("profiles.efi", golden).pathname);
  expect(signed.sha256).toHaveLength(4);
  expect(signed.sha256).not.toEqual(measured.sha256);
});

test("what is put into an image is read back, whatever the sizes", () => {
  const section = record({
    name: constantFrom(".osrel", ".cmdline", ".uname", ".initrd", ".ucode", ".splash", ".dtb"),
    content: uint8Array({ minLength: 1, maxLength: 3000 }),
  });
  assert(
    property(uniqueArray(section, { selector: ({ name }) => name, maxLength: 7 }), boolean(), (sections, symbols) => {
      const image = assembleUki(makeStub({ symbols }), sections);
      const headers = readPe(image);
      for (const { name, content } of sections) expect(peContent(image, headers, name)).toEqual(content);
      for (const { name, content } of stubSections)
        expect(Buffer.from(peContent(image, headers, name) ?? [])).toEqual(Buffer.from(content));
      expect(headers.symbolTable).toEqual({ offset: 0, count: 0 });
      expect(headers.sizeOfImage % headers.sectionAlignment).toBe(0);
      // Nothing overlaps in the file or in memory, and no bytes of the file belong to nothing.
      let file = headers.sizeOfHeaders;
      let memory = 0;
      for (const one of headers.sections) {
        expect(one.rawOffset).toBe(file);
        expect(one.virtualAddress).toBeGreaterThanOrEqual(memory);
        file += one.rawSize;
        memory = one.virtualAddress + one.virtualSize;
      }
      expect(image.length).toBe(file);
    }),
  );
});

test("SBAT entries of stub and kernel are joined behind one head", () => {
  const sbat = text(ukiSbatSection(makeStub(), testKernel));
  expect(sbat.split("\n")).toEqual([
    sbatHead.trimEnd(),
    "systemd-stub,1,Test,test,1,test",
    "linux,1,Test,linux,6.1,test",
    "uki,1,UKI,uki,1,https://uapi-group.org/specifications/specs/unified_kernel_image/",
    "\0",
  ]);
  expect(() =>
    ukiSbatSection(makeStub({ sections: [{ name: ".sbat", virtualAddress: 0x1000, content: Buffer.from("no") }] })),
  ).toThrow(expect.objectContaining({ code: "sbat-invalid" }) as Error);
});

test("a section of the stub that cannot grow in its place is moved, and leaves no gap", () => {
  // As in systemd 252: the next section begins 256 bytes behind, in the same page.
  const tight = makeStub({
    sections: stubSections.map((one) => (one.name === ".sdmagic" ? { ...one, virtualAddress: 0x2100 } : one)),
  });
  const content = Buffer.alloc(300, "s");
  const image = assembleUki(tight, [{ name: ".sbat", content }]);
  const headers = readPe(image);
  expect(headers.sections.map(({ name }) => name)).toEqual([".text", ".sdmagic", ".sbat"]);
  expect(text(peContent(image, headers, ".sbat"))).toBe(content.toString());
  expect(stubVersion(image)).toBe("257.13-1");
  expect(headers.sections[1]?.rawOffset).toBe((headers.sections[0]?.rawOffset ?? 0) + 512);
  expect(image.length).toBe(0x600 + 3 * 512);
});

test("a kernel that needs writable code takes the stub's promise back", () => {
  const before = readPe(assembleUki(makeStub(), [])).dllCharacteristics;
  const after = readPe(assembleUki(makeStub(), [{ name: ".linux", content: testKernel }])).dllCharacteristics;
  expect([before & 0x100, after & 0x100]).toEqual([0x100, 0]);
});

test("stubs that cannot be built upon are refused", () => {
  const signed = makeStub();
  new DataView(signed.buffer, signed.byteOffset).setUint32(0x98 + 112 + 32, 0x600, true);
  new DataView(signed.buffer, signed.byteOffset).setUint32(0x98 + 112 + 36, 8, true);
  expect(() => layoutUki({ stub: signed, sections: [] })).toThrow(
    expect.objectContaining({ code: "stub-signed" }) as Error,
  );
  const names = [".a", ".b", ".c", ".d", ".e"];
  expect(() =>
    layoutUki({ stub: makeStub({ sizeOfHeaders: 0x200 }), sections: names.map((name) => ({ name, size: 1 })) }),
  ).toThrow(expect.objectContaining({ code: "uki-headers-full" }) as Error);
  expect(() => layoutUki({ stub: makeStub(), sections: [{ name: ".initrd", size: 2 ** 32 }] })).toThrow(
    expect.objectContaining({ code: "uki-too-large" }) as Error,
  );
});

test("hostile PE files are refused with the offset, never with another error", () => {
  const whole = makeStub({ symbols: true });
  for (const length of [0, 1, 63, 64, 0x90, 0x98, 0x100, 0x190, 0x1f0, 0x5ff])
    expect(() => readPe(whole.subarray(0, length))).toThrow(/^not a PE file: byte \d+: /);
  assert(
    property(
      array(tuple(nat(0x200), constantFrom(0, 1, 0x7f, 0x80, 0xff)), { minLength: 1, maxLength: 6 }),
      (changes) => {
        const bytes = Uint8Array.from(whole);
        for (const [at, value] of changes) bytes[at] = value;
        try {
          layoutUki({ stub: bytes, sections: [{ name: ".osrel", size: 10 }] });
        } catch (error) {
          if (!(error instanceof ImgtoolError)) throw error;
        }
      },
    ),
    { numRuns: 2000 },
  );
});

test("the kernel's version is read from the boot header, or the banner", () => {
  const kernel = new Uint8Array(0x800);
  const view = new DataView(kernel.buffer);
  view.setUint32(0x202, 0x53726448, true);
  view.setUint16(0x20e, 0x300, true);
  kernel.set(Buffer.from("6.1.0-56-cloud-amd64 (builder@host) #1 SMP\0"), 0x500);
  expect(kernelVersion(kernel)).toBe("6.1.0-56-cloud-amd64");
  view.setUint16(0x20e, 0xffff, true);
  expect(kernelVersion(kernel)).toBeUndefined();
  expect(kernelVersion(Buffer.from("....Linux version 6.12.3+deb13-arm64 (x@y)"))).toBe("6.12.3+deb13-arm64");
  expect(kernelVersion(new Uint8Array(3))).toBeUndefined();
});

test("objdump and sbverify read an image on Debian's stub", (context) => {
  needPrograms(context, "objdump", "sbverify");
  const place = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";
  if (!existsSync(place)) context.skip(`needs ${place}`);
  const stub = readFileSync(place);
  using folder = temporaryFolder();
  const sections = [
    { name: ".osrel", content: Buffer.from("ID=test\n") },
    { name: ".linux", content: testKernel },
    { name: ".initrd", content: Buffer.alloc(100_001, 1) },
    { name: ".sbat", content: ukiSbatSection(stub, testKernel) },
  ];
  writeFileSync(folder.join("uki.efi"), assembleUki(stub, sections));
  const listed = run("objdump", ["-h", folder.join("uki.efi")]);
  for (const { name, content } of sections)
    expect(listed).toMatch(new RegExp(`\\${name} +0*${content.length.toString(16)} `));
  // It warns of gaps between sections, which a signature would not cover.
  expect(tryRun("sbverify", ["--list", folder.join("uki.efi")])).toMatchObject({
    status: 0,
    stderr: "No signature table present\n",
  });
});
