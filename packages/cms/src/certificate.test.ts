import { FormatError } from "@imgtool/core";
import { testCertificate } from "@imgtool/testkit";
import { assert, integer, nat, property } from "fast-check";
import { expect, test } from "vitest";
import { decodeCertificate, encodePem, pemContent } from "./certificate.ts";

const pem = Buffer.from(testCertificate);

test("reads what OpenSSL prints of a certificate", () => {
  const certificate = decodeCertificate(pem);
  expect(new Date(certificate.notBefore).toISOString()).toBe("2020-01-01T00:00:00.000Z");
  expect(new Date(certificate.notAfter).toISOString()).toBe("2100-01-01T00:00:00.000Z");
  expect(Buffer.from(certificate.serialNumber).toString("hex")).toBe("020900c0ffee0123456789");
  expect(Buffer.from(certificate.subject).toString("latin1")).toContain("imgtool test key");
  expect(certificate.issuer).toEqual(certificate.subject);
  expect(decodeCertificate(certificate.der)).toEqual(certificate);
  expect(encodePem("CERTIFICATE", certificate.der)).toBe(testCertificate);
});

test("takes the certificate that stands behind other PEM blocks", () => {
  const other = encodePem("PRIVATE KEY", Buffer.from("not a key"));
  expect(decodeCertificate(Buffer.from(`words\n${other}${testCertificate}`))).toEqual(decodeCertificate(pem));
});

test("names the file that is no certificate", () => {
  expect(() => decodeCertificate(Buffer.from("hello"), "mkosi.crt")).toThrow(
    /^mkosi\.crt is not an X\.509 certificate/,
  );
  expect(() => pemContent(Buffer.from("-----BEGIN CERTIFICATE-----\nAAAA"), "CERTIFICATE")).toThrow(/damaged/);
  expect(() => decodeCertificate(new Uint8Array(100_000))).toThrow(/at most 65536 bytes/);
});

test("a damaged certificate is read or refused, nothing else", () => {
  const { der } = decodeCertificate(pem);
  assert(
    property(nat(der.length - 1), integer({ min: 1, max: 255 }), nat(der.length), (at, change, length) => {
      const damaged = Uint8Array.from(der.subarray(0, Math.max(at + 1, length)));
      damaged[at] = (damaged[at] ?? 0) ^ change;
      try {
        decodeCertificate(damaged);
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
      }
    }),
  );
});
