import { writeFileSync } from "node:fs";
import { needPrograms, run, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { generateKey, makeSigner } from "./node.ts";

test("a new key and its certificate are what OpenSSL makes", async (context) => {
  needPrograms(context, "openssl");
  using folder = temporaryFolder();
  const now = Date.UTC(2048, 0, 1, 12);
  const { key, certificate } = await generateKey({ commonName: 'Jörg\'s device, "x"', validDays: 1000, now });
  writeFileSync(folder.join("key"), key);
  writeFileSync(folder.join("crt"), certificate);
  const text = run("openssl", ["x509", "-in", folder.join("crt"), "-noout", "-text", "-nameopt", "utf8"]);
  for (const words of [
    "Version: 3",
    "Signature Algorithm: sha256WithRSAEncryption",
    "Not Before: Jan  1 12:00:00 2048 GMT",
    // Years from 2050 on are written in another form.
    "Not After : Sep 27 12:00:00 2050 GMT",
    "Public-Key: (2048 bit)",
    "CA:TRUE",
    "X509v3 Subject Key Identifier",
  ])
    expect(text).toContain(words);
  expect(text).toMatch(/Subject: CN ?= ?Jörg's device, /);
  const moment = String(now / 1000 + 60);
  run("openssl", ["verify", "-attime", moment, "-check_ss_sig", "-CAfile", folder.join("crt"), folder.join("crt")]);
  const modulus = run("openssl", ["x509", "-in", folder.join("crt"), "-noout", "-modulus"]);
  expect(run("openssl", ["rsa", "-in", folder.join("key"), "-noout", "-modulus"])).toBe(modulus);
  const signer = makeSigner({ key: Buffer.from(key), certificate: Buffer.from(certificate) });
  expect(signer.certificate.notAfter).toBe(now + 1000 * 86_400_000);
});
