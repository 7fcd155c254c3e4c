import { readFileSync, writeFileSync } from "node:fs";
import { makeSigner } from "@imgtool/cms/node";
import {
  makeStub,
  needPrograms,
  run,
  temporaryFolder,
  testCertificate,
  testKey,
  type TemporaryFolder,
} from "@imgtool/testkit";
import { expect, test } from "vitest";
import { expectedPcr, formatProfile, measuredSections, writeAddon, writeUki } from "../src/index.ts";
import { peContent, readPe } from "../src/pe.ts";
import { addonStub, goldenParts, goldenProfiles } from "./parts.ts";

const text = (bytes: Uint8Array | undefined): string => new TextDecoder("latin1").decode(bytes);
const golden = (name: string): Buffer => readFileSync(new URL(`golden/${name}`, import.meta.url));
const pcrSigner = makeSigner({ key: Buffer.from(testKey), certificate: Buffer.from(testCertificate) });

function layOut(folder: TemporaryFolder): (name: string) => string {
  const path = (name: string): string => folder.join(name);
  writeFileSync(path("stub"), makeStub());
  writeFileSync(path("addon-stub"), addonStub);
  for (const [name, content] of Object.entries(goldenParts)) writeFileSync(path(name), content);
  return path;
}

/** Names of the sections of a file, and their contents: a name may be there more than once. */
function sections(image: Buffer): [string, string][] {
  return readPe(image).sections.map(({ name, rawOffset, virtualSize }) => [
    name,
    image.subarray(rawOffset, rawOffset + virtualSize).toString("latin1"),
  ]);
}

function names(image: Buffer): string {
  return sections(image)
    .map(([name]) => name)
    .join(" ");
}

async function writeProfiles(
  path: (name: string) => string,
  changes: Partial<Parameters<typeof writeUki>[0]> = {},
): Promise<Buffer> {
  await writeUki({
    output: path("profiles.efi"),
    stub: path("stub"),
    linux: path("linux"),
    initrds: [path("initrd")],
    osRelease: text(goldenParts["osRelease"]),
    commandLine: "root=/dev/x rw",
    uname: "6.1.0-test",
    microcode: path("ucode"),
    splash: path("splash"),
    devicetree: path("dtb"),
    profiles: goldenProfiles,
    pcrSigner,
    ...changes,
  });
  return readFileSync(path("profiles.efi"));
}

test("profiles and the signatures of their measurements are those of ukify and systemd-measure, to the byte", async () => {
  using folder = temporaryFolder();
  const image = await writeProfiles(layOut(folder));
  expect(sections(image)).toEqual(sections(golden("profiles.efi")));
  expect(image.equals(golden("profiles.efi"))).toBe(true);
});

test("a profile's measurements are signed or not as it says; without a key none are", async () => {
  using folder = temporaryFolder();
  const path = layOut(folder);
  const [first, second] = goldenProfiles.map((profile) => ({ ...profile, signExpectedPcr: false }));
  const half = await writeProfiles(path, { profiles: [first ?? fail(), goldenProfiles[1] ?? fail()] });
  expect(names(half)).toMatch(/ \.pcrpkey .* \.profile \.pcrsig \.profile \.cmdline \.profile \.pcrsig$/);
  const none = await writeProfiles(path, { profiles: [first ?? fail(), second ?? fail()], pcrSigner: undefined });
  expect(names(none)).not.toContain("pcr");
  expect(names(none)).toMatch(/ \.profile \.profile \.cmdline \.profile$/);
  expect(names(await writeProfiles(path, { profiles: [], pcrSigner: undefined }))).not.toContain(".profile");
});

test("OpenSSL verifies the signature of what the register will hold", async (context) => {
  needPrograms(context, "openssl");
  using folder = temporaryFolder();
  const path = layOut(folder);
  const image = await writeProfiles(path, { profiles: [] });
  const { sha256: signatures } = JSON.parse(text(peContent(image, readPe(image), ".pcrsig"))) as {
    sha256: { pcrs: number[]; pkfp: string; pol: string; sig: string }[];
  };
  expect(signatures).toHaveLength(4);
  writeFileSync(path("public.pem"), text(peContent(image, readPe(image), ".pcrpkey")));
  for (const { pcrs, pol, sig } of signatures) {
    expect(pcrs).toEqual([11]);
    writeFileSync(path("policy"), Buffer.from(pol, "hex"));
    writeFileSync(path("signature"), Buffer.from(sig, "base64"));
    const verify = ["dgst", "-sha256", "-verify", path("public.pem"), "-signature", path("signature"), path("policy")];
    expect(run("openssl", verify)).toBe("Verified OK\n");
  }
});

test("every measured section changes the expected value, and so does its name", () => {
  const digest = new Uint8Array(32).fill(1);
  const value = (name: string): string => Buffer.from(expectedPcr([{ name, digest }])).toString("hex");
  expect(new Set(measuredSections.map(value)).size).toBe(measuredSections.length);
  expect(value(".pcrsig")).toBe("00".repeat(32));
});

test("an addon has the bytes that ukify writes", async () => {
  using folder = temporaryFolder();
  const path = layOut(folder);
  await writeAddon({
    output: path("addon.efi"),
    stub: path("addon-stub"),
    commandLine: "root=/dev/x rw",
    initrds: [path("initrd")],
  });
  expect(readFileSync(path("addon.efi")).equals(golden("addon.efi"))).toBe(true);
});

test("a profile needs an ID, and its values stay in their line", () => {
  expect(formatProfile({ ID: "a", TITLE: 'The "best" $one', VERSION: "" })).toBe(
    'ID=a\nTITLE="The \\"best\\" \\$one"\nVERSION=\n',
  );
  for (const properties of [{}, { ID: "" }, { ID: "a b" }, { ID: "a", TITLE: "x\nID=b" }, { ID: "a", "x y": "z" }])
    expect(() => formatProfile(properties as Record<string, string>)).toThrow(
      expect.objectContaining({ code: "profile-invalid" }) as Error,
    );
});

function fail(): never {
  throw new RangeError("no such profile");
}
