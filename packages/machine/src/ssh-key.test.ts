import { writeFileSync } from "node:fs";
import { needPrograms, run, temporaryFolder, testCertificate } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { authorizedKey } from "./ssh-key.ts";

test("a certificate's key is what ssh-keygen makes of it", (context) => {
  needPrograms(context, "openssl", "ssh-keygen");
  using folder = temporaryFolder();
  const [certificate, key, line] = ["certificate", "key", "line"].map((name) => folder.join(name)) as [
    string,
    string,
    string,
  ];
  const judge = (): void => {
    const publicKey = run("openssl", ["x509", "-in", certificate, "-pubkey", "-noout"]);
    writeFileSync(key, publicKey);
    const made = authorizedKey(Buffer.from(run("cat", [certificate])), certificate);
    expect(made).toBe(run("ssh-keygen", ["-i", "-m", "PKCS8", "-f", key]).trim());
  };
  writeFileSync(certificate, testCertificate);
  judge();
  for (const curve of ["P-256", "P-384", "P-521"]) {
    const made = ["-newkey", "ec", "-pkeyopt", `ec_paramgen_curve:${curve}`, "-noenc", "-keyout", folder.join("k")];
    run("openssl", ["req", "-x509", "-subj", "/CN=x", ...made, "-out", certificate]);
    judge();
  }
  // Older versions of ssh-keygen do not convert these, and do read them.
  run("openssl", [
    "req",
    "-x509",
    "-subj",
    "/CN=x",
    "-newkey",
    "ed25519",
    "-noenc",
    "-keyout",
    key,
    "-out",
    certificate,
  ]);
  writeFileSync(line, `${authorizedKey(Buffer.from(run("cat", [certificate])), certificate)}\n`);
  expect(run("ssh-keygen", ["-l", "-f", line])).toMatch(/^256 .*\(ED25519\)/);
  expect(() => authorizedKey(Buffer.from("no"), "/x.crt")).toThrow(/x\.crt/);
});
