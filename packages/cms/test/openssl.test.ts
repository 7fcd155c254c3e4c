/** Signatures, judged by OpenSSL. */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { ConfigError, FormatError } from "@imgtool/core";
import { needPrograms, otherTestKey, run, temporaryFolder, testCertificate, testKey, tryRun } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { decodeCertificate, signAuthenticode, signDetached } from "../src/index.ts";
import { makeSigner } from "../src/node.ts";

const key = Buffer.from(testKey);
const certificate = Buffer.from(testCertificate);
const generate = (...args: readonly string[]): Buffer => Buffer.from(run("openssl", ["genpkey", ...args]));
const signer = makeSigner({ key, certificate });

test.for([0, 1, 64, 1_000_000])("a detached signature of %d bytes is OpenSSL's, byte for byte", (length, context) => {
  needPrograms(context, "openssl");
  using folder = temporaryFolder();
  const at = (name: string): string => folder.join(name);
  writeFileSync(at("key"), key);
  writeFileSync(at("crt"), certificate);
  const content = Buffer.alloc(length, "0123456789abcdef\r\n");
  writeFileSync(at("content"), content);
  const common = ["-binary", "-noattr", "-signer", at("crt"), "-inkey", at("key"), "-outform", "DER"];
  run("openssl", ["smime", "-sign", "-in", at("content"), ...common, "-out", at("expected")]);
  const found = signDetached(content, signer);
  expect(Buffer.from(found).equals(readFileSync(at("expected")))).toBe(true);

  writeFileSync(at("found"), found);
  const verify = ["-verify", "-inform", "DER", "-in", at("found"), "-CAfile", at("crt"), "-binary", "-out", at("out")];
  for (const program of ["cms", "smime"])
    run("openssl", [program, ...verify, "-content", at("content"), "-purpose", "any"]);
  writeFileSync(at("content"), Buffer.concat([content, Buffer.from("!")]));
  expect(tryRun("openssl", ["cms", ...verify, "-content", at("content"), "-purpose", "any"]).status).not.toBe(0);
});

test("an Authenticode signature verifies, and holds the digest", (context) => {
  needPrograms(context, "openssl");
  using folder = temporaryFolder();
  const at = (name: string): string => folder.join(name);
  const digest = createHash("sha256").update("some PE file").digest();
  writeFileSync(at("crt"), certificate);
  const signature = Buffer.from(signAuthenticode(digest, signer));
  writeFileSync(at("signature"), signature);
  // OpenSSL knows no content but octet strings: it is handed the content, without its tag and length.
  const start = signature.indexOf("060a2b06010401823702010f", 0, "hex");
  writeFileSync(at("content"), signature.subarray(start - 2, signature.indexOf(digest) + digest.length));
  const args = ["-inform", "DER", "-in", at("signature"), "-CAfile", at("crt"), "-purpose", "any"];
  run("openssl", ["smime", "-verify", ...args, "-binary", "-content", at("content"), "-out", at("out")]);
  const printed = run("openssl", ["pkcs7", "-inform", "DER", "-in", at("signature"), "-print", "-noout"]);
  expect(printed).toContain("1.3.6.1.4.1.311.2.1.4");
  expect(printed).not.toContain("signingTime");
  expect(signAuthenticode(digest, signer)).toEqual(signAuthenticode(digest, signer));
  expect(() => signAuthenticode(digest.subarray(1), signer)).toThrow(RangeError);
});

test("the fingerprint of the test certificate is OpenSSL's", (context) => {
  needPrograms(context, "openssl");
  const printed = run("openssl", ["x509", "-noout", "-fingerprint", "-sha256"], { input: certificate });
  const fingerprint = createHash("sha256").update(decodeCertificate(certificate).der).digest("hex");
  expect(printed.replaceAll(":", "").toLowerCase()).toContain(fingerprint);
});

test("a key that is not the certificate's is refused by name", () => {
  const names = { keyName: "mkosi.key", certificateName: "mkosi.crt" };
  const make = (): unknown => makeSigner({ key: Buffer.from(otherTestKey), certificate, ...names });
  expect(make).toThrow("mkosi.key is not the key of mkosi.crt");
  expect(make).toThrow(ConfigError);
});

test("keys that cannot sign are refused with the reason", (context) => {
  needPrograms(context, "openssl");
  const small = generate("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024");
  const curve = generate("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256");
  expect(() => makeSigner({ key: small, certificate })).toThrow(
    "expected an RSA key of at least 2048 bits, found rsa of 1024 bits",
  );
  expect(() => makeSigner({ key: curve, certificate })).toThrow(/found ec$/);
  const locked = run("openssl", ["pkey", "-aes128", "-passout", "pass:x"], { input: key });
  expect(() => makeSigner({ key: Buffer.from(locked), certificate })).toThrow(/the private key is encrypted/);
  for (const nonsense of ["", "hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
    expect(() => makeSigner({ key: Buffer.from(nonsense), certificate })).toThrow(FormatError);
});

test("takes keys in DER and in the older PEM form", (context) => {
  needPrograms(context, "openssl");
  using folder = temporaryFolder();
  run("openssl", ["pkey", "-outform", "DER", "-out", folder.join("der")], { input: key });
  const traditional = run("openssl", ["pkey", "-traditional"], { input: key });
  for (const form of [readFileSync(folder.join("der")), Buffer.from(traditional)])
    expect(makeSigner({ key: form, certificate }).sign(key)).toEqual(signer.sign(key));
});
