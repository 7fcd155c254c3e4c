/** Keys for firmware, judged by sbsigntools; and the file that keeps a virtual machine's variables. */
import { createHash, verify } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { makeSigner } from "@imgtool/cms/node";
import { FormatError } from "@imgtool/core";
import { needPrograms, run, temporaryFolder, testCertificate, testKey } from "@imgtool/testkit";
import { assert, nat, property } from "fast-check";
import { expect, test } from "vitest";
import { secureBootVariables, signatureList, signVariable, utf16 } from "../src/secure-boot-variables.ts";
import { enrollKeys } from "../src/variable-store.ts";

const signer = makeSigner({ key: Buffer.from(testKey), certificate: Buffer.from(testCertificate) });
const list = signatureList(signer.certificate.der);
const template = "/usr/share/OVMF/OVMF_VARS_4M.fd";

test("signature lists and signed updates are those of sbsiglist and sbvarsign", (context) => {
  needPrograms(context, "sbsiglist", "sbvarsign");
  using folder = temporaryFolder();
  const at = (name: string): string => folder.join(name);
  writeFileSync(at("key"), testKey);
  writeFileSync(at("crt"), testCertificate);
  writeFileSync(at("der"), signer.certificate.der);
  const owner = "00000000-0000-0000-0000-000000000000";
  run("sbsiglist", ["--owner", owner, "--type", "x509", "--output", at("list"), at("der")]);
  expect(readFileSync(at("list")).equals(list)).toBe(true);
  const attributes = "NON_VOLATILE,BOOTSERVICE_ACCESS,RUNTIME_ACCESS,TIME_BASED_AUTHENTICATED_WRITE_ACCESS";
  for (const variable of secureBootVariables) {
    const keys = ["--key", at("key"), "--cert", at("crt")];
    run("sbvarsign", ["--attr", attributes, ...keys, "--output", at("auth"), variable.name, at("list")]);
    const theirs = readFileSync(at("auth"));
    const [month = 0, day, hours, minutes, seconds] = theirs.subarray(2, 7);
    const time = Date.UTC(theirs.readUInt16LE(0), month - 1, day, hours, minutes, seconds) / 1000;
    const ours = Buffer.from(signVariable(variable, list, time, signer));
    // sbvarsign's signature has attributes, with the time and the digest of what is signed.
    const signed = Buffer.concat([
      utf16(variable.name),
      variable.vendor,
      Buffer.of(0x27, 0, 0, 0),
      ours.subarray(0, 16),
      list,
    ]);
    expect(theirs.includes(createHash("sha256").update(signed).digest()), variable.name).toBe(true);
    const [signature, content] = [ours.subarray(0, -list.length), ours.subarray(-list.length)];
    expect(content.equals(list)).toBe(true);
    expect(verify("sha256", signed, testCertificate, signature.subarray(-256)), variable.name).toBe(true);
    expect(ours.subarray(0, 16)).toEqual(theirs.subarray(0, 16));
    expect(ours.subarray(20, 40)).toEqual(theirs.subarray(20, 40));
    expect(ours.readUInt32LE(16)).toBe(signature.length - 16);
  }
});

/** The variables that are not deleted, by name. */
function variablesOf(store: Buffer): (readonly [name: string, content: Buffer])[] {
  const found: (readonly [string, Buffer])[] = [];
  for (let at = 72 + 28; store.readUInt16LE(at) === 0x55aa;) {
    const [nameSize, size] = [store.readUInt32LE(at + 36), store.readUInt32LE(at + 40)];
    const name = store.toString("utf16le", at + 60, at + 60 + nameSize - 2);
    if (store[at + 2] === 0x3f) found.push([name, store.subarray(at + 60 + nameSize, at + 60 + nameSize + size)]);
    at = (at + 60 + nameSize + size + 3) & ~3;
  }
  return found;
}

test("keys are enrolled once, beside what the file has, and the template stays", (context) => {
  if (!existsSync(template)) context.skip(`needs ${template}`);
  const before = readFileSync(template);
  const once = enrollKeys(before, list, 1_700_000_000);
  expect(before.equals(readFileSync(template))).toBe(true);
  for (const store of [once, enrollKeys(once, list, 1_700_000_001)]) {
    const found = variablesOf(Buffer.from(store));
    expect(found.map(([name]) => name).sort()).toEqual(["CustomMode", "KEK", "PK", "SecureBootEnable", "db"]);
    const contents = new Map(found);
    for (const { name } of secureBootVariables) expect(contents.get(name)?.equals(list), name).toBe(true);
    expect(contents.get("SecureBootEnable")).toEqual(Buffer.of(1));
    expect(store).toHaveLength(before.length);
  }
  const vendor = readFileSync("/usr/share/OVMF/OVMF_VARS_4M.ms.fd");
  const replaced = new Map(variablesOf(Buffer.from(enrollKeys(vendor, list, 1_700_000_000))));
  expect(replaced.get("PK")?.equals(list)).toBe(true);
  expect(replaced.has("Boot0002")).toBe(true);
});

test("what is no file of variables is refused, whatever its bytes", (context) => {
  if (!existsSync(template)) context.skip(`needs ${template}`);
  const good = readFileSync(template).subarray(0, 4096);
  expect(() => enrollKeys(Buffer.alloc(0), list, 0)).toThrow(FormatError);
  expect(() => enrollKeys(Buffer.alloc(540_672), list, 0)).toThrow("expected a firmware volume");
  // its header says more than there is
  expect(() => enrollKeys(good, list, 0)).toThrow(FormatError);
  const enrolled = enrollKeys(readFileSync(template), list, 0);
  // a name of 2 GiB, whose length has the highest bit
  const huge = Buffer.from(enrolled);
  huge[139] = 128;
  expect(outcome(huge)).toBe("FormatError");
  assert(
    property(nat(3000), nat(255), (at, byte) => {
      const bytes = Buffer.from(enrolled);
      bytes[at] = byte;
      expect(outcome(bytes)).toBeOneOf(["FormatError", bytes.length]);
    }),
    { numRuns: 200 },
  );
});

/** The length of the enrolled file, or the name of the error. */
function outcome(bytes: Buffer): number | string {
  try {
    return enrollKeys(bytes, list, 1).length;
  } catch (error) {
    return error instanceof FormatError ? "FormatError" : String(error);
  }
}

test("text is as firmware has it", () => {
  expect([...utf16("PK")]).toEqual([0x50, 0, 0x4b, 0]);
});
