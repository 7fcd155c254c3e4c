/**
 * A certificate's public key in the form of authorized_keys (sshd(8), RFC 4253 6.6, RFC 5656 3.1, RFC 8709).
 * @module
 */
import { X509Certificate } from "node:crypto";
import { ConfigError } from "@imgtool/core";

const curves: Readonly<Record<string, string>> = { "P-256": "nistp256", "P-384": "nistp384", "P-521": "nistp521" };

/**
 * One line without a comment.
 * @throws ConfigError `ssh-certificate-invalid`
 */
export function authorizedKey(certificate: Uint8Array, path: string): string {
  const refuse = (what: string, cause?: unknown): never => {
    throw new ConfigError(`SshCertificate=${path} ${what}`, {
      code: "ssh-certificate-invalid",
      hint: "make one with: imgtool genkey",
      data: { path },
      cause,
    });
  };
  const jwk = ((): { readonly [name: string]: unknown } => {
    try {
      return new X509Certificate(certificate).publicKey.export({ format: "jwk" });
    } catch (error) {
      return refuse("is no certificate with a public key", error);
    }
  })();
  const field = (name: string): Buffer => Buffer.from(String(jwk[name]), "base64url");
  if (jwk["kty"] === "RSA") return line("ssh-rsa", positive(field("e")), positive(field("n")));
  if (jwk["kty"] === "OKP" && jwk["crv"] === "Ed25519") return line("ssh-ed25519", field("x"));
  const curve = curves[String(jwk["crv"])];
  if (curve === undefined) return refuse(`has a key that SSH does not know: ${String(jwk["crv"] ?? jwk["kty"])}`);
  const point = Buffer.concat([Buffer.of(4), field("x"), field("y")]);
  return line(`ecdsa-sha2-${curve}`, Buffer.from(curve), point);
}

function line(type: string, ...parts: readonly Buffer[]): string {
  return `${type} ${Buffer.concat([Buffer.from(type), ...parts].map(framed)).toString("base64")}`;
}

function framed(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** A number whose first bit is set would be a negative one. */
function positive(bytes: Buffer): Buffer {
  return (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), bytes]) : bytes;
}
