import { chmodSync, writeFileSync } from "node:fs";
import { decodeCertificate } from "@imgtool/cms";
import { silentProgress, type LogLevel } from "@imgtool/core";
import { needPrograms, needRoot, otherTestKey, run, temporaryFolder, testCertificate, testKey } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { checkBuild } from "../src/check.ts";
import { partitionDefinitions } from "../src/repart-definitions.ts";
import { loadSigner } from "../src/signers.ts";
import { testConfig } from "./config.ts";

test("a key and its certificate make a signer", async () => {
  using folder = temporaryFolder();
  writeFileSync(folder.join("key"), testKey);
  writeFileSync(folder.join("crt"), testCertificate);
  const signer = await loadSigner(folder.join("key"), folder.join("crt"), silentProgress);
  expect(signer.certificate).toEqual(decodeCertificate(Buffer.from(testCertificate)));
  await expect(loadSigner(folder.join("no"), folder.join("crt"), silentProgress)).rejects.toMatchObject({
    code: "key-not-found",
    message: expect.stringContaining(folder.join("no")) as unknown,
  });
});

test("a certificate that has expired is warned about", async (context) => {
  needPrograms(context, "openssl");
  using folder = temporaryFolder();
  writeFileSync(folder.join("key"), testKey);
  const sign = ["x509", "-signkey", folder.join("key"), "-days", "-1", "-out", folder.join("crt")];
  run("openssl", sign, { input: testCertificate });
  const messages: string[] = [];
  const progress = {
    ...silentProgress,
    log: (level: LogLevel, text: string) => void messages.push(`${level} ${text}`),
  };
  await loadSigner(folder.join("key"), folder.join("crt"), progress);
  expect(messages[0]).toMatch(/^warning .*crt expired on \d{4}-\d\d-\d\d$/);
});

test("a key that does not fit its certificate ends the build before anything is done", async (context) => {
  needRoot(context);
  using folder = temporaryFolder();
  const [verityKey, verityCertificate] = [folder.join("mkosi.key"), folder.join("mkosi.crt")];
  writeFileSync(verityCertificate, testCertificate);
  writeFileSync(verityKey, otherTestKey);
  const keys = { verityKey, verityCertificate };
  const config = testConfig(folder.path, { format: "disk", verity: "signed", ...keys });
  await expect(checkBuild(config, false)).rejects.toMatchObject({ code: "key-mismatch", exitCode: 2 });
  writeFileSync(verityKey, testKey);
  await expect(checkBuild(config, false)).resolves.toBeUndefined();
  const without = testConfig(folder.path, { format: "disk", verity: "signed" });
  await expect(checkBuild(without, false)).rejects.toMatchObject({ code: "verity-signer-missing" });
});

test("a passphrase that is missing or open ends the build before anything is done", async (context) => {
  needRoot(context);
  using folder = temporaryFolder();
  const passphraseFile = folder.join("mkosi.passphrase");
  writeFileSync(folder.join("home.conf"), "[Partition]\nType=home\nFormat=ext4\nEncrypt=key-file\n");
  const config = testConfig(folder.path, { format: "disk", repartDirectories: [folder.path] });
  await expect(checkBuild(config, false)).rejects.toMatchObject({ code: "passphrase-missing", exitCode: 2 });
  writeFileSync(passphraseFile, "secret", { mode: 0o604 });
  await expect(checkBuild({ ...config, passphraseFile }, false)).rejects.toMatchObject({ code: "secret-open" });
  chmodSync(passphraseFile, 0o600);
  await expect(checkBuild({ ...config, passphraseFile }, false)).resolves.toBeUndefined();
});

test("Encrypt= encrypts the default layout's data, or all of it", async () => {
  using folder = temporaryFolder();
  const encrypted = async (encrypt: "none" | "data" | "all"): Promise<string[]> => {
    const size = 2 ** 30;
    const partitionSizes = { root: undefined, esp: undefined, swap: size, home: size, srv: size };
    const definitions = await partitionDefinitions(
      testConfig(folder.path, { encrypt, partitionSizes }),
      silentProgress,
      {},
    );
    return definitions.filter((one) => one.encrypt === "key-file").map(({ type }) => type);
  };
  expect(await encrypted("none")).toEqual([]);
  expect(await encrypted("data")).toEqual(["home", "srv"]);
  expect(await encrypted("all")).toEqual(["swap", "home", "srv", "root"]);
});

const lines = (type: string, role: string): string =>
  `[Partition]\nType=${type}\nVerity=${role}\nVerityMatchKey=x\n${role === "data" ? "Format=erofs\n" : ""}`;

test("Verity= decides about signature partitions", async () => {
  using folder = temporaryFolder();
  const types = async (verity: "no" | "hash" | "signed", own: boolean): Promise<string[]> => {
    const config = testConfig(folder.path, { verity, repartDirectories: own ? [folder.path] : [] });
    return (await partitionDefinitions(config, silentProgress, {})).map(({ type }) => type);
  };
  expect(await types("signed", false)).toEqual(["root", "root-verity", "root-verity-sig"]);
  writeFileSync(folder.join("1.conf"), lines("usr", "data"));
  writeFileSync(folder.join("2.conf"), lines("usr-verity", "hash"));
  await expect(types("signed", true)).rejects.toThrow(/no partition definition has Verity=signature/);
  writeFileSync(folder.join("3.conf"), lines("usr-verity-sig", "signature"));
  expect(await types("signed", true)).toEqual(["usr", "usr-verity", "usr-verity-sig"]);
  expect(await types("no", true)).toEqual(["usr", "usr-verity", "usr-verity-sig"]);
  expect(await types("hash", true)).toEqual(["usr", "usr-verity"]);
});
