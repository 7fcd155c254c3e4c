/**
 * The service that gives tokens for Docker's registry: JSON Web Tokens that are signed with a key whose
 * certificate the registry trusts (distribution project, "Token authentication specification").
 * @module
 */
import { createPrivateKey, randomUUID, sign, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { run, temporaryFolder } from "@imgtool/testkit";

export interface TokenServer {
  /** What the registry's challenge names. */
  readonly realm: string;
  readonly service: string;
  readonly issuer: string;
  /** The certificate, in PEM form. */
  readonly certificate: string;
  /** Scopes that were asked for. */
  readonly scopes: string[];
  /** Seconds that a token holds. */
  lifetime: number;
  close(): void;
}

/** Starts one that knows `user` with the password. */
export async function startTokenServer(password: string): Promise<TokenServer> {
  const { key, certificate } = makeKey();
  const expected = `Basic ${Buffer.from(`user:${password}`).toString("base64")}`;
  const server = createServer((request, response) => {
    const { searchParams } = new URL(request.url ?? "", "http://token");
    const scope = searchParams.get("scope") ?? "";
    if (request.headers.authorization !== expected || searchParams.get("service") !== started.service) {
      response
        .writeHead(401, { "content-type": "application/json" })
        .end('{"details": "incorrect username or password"}');
      return;
    }
    const [type, name, actions = ""] = scope.split(":");
    // The registry names them in any order.
    started.scopes.push([type, name, actions.split(",").sort().join()].join(":"));
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      iss: started.issuer,
      sub: "user",
      aud: started.service,
      iat: now,
      // The registry lets a minute pass after the end.
      nbf: now - 120,
      exp: now - 60 + started.lifetime,
      jti: randomUUID(),
      access: [{ type, name, actions: actions.split(",") }],
    };
    response.writeHead(200).end(JSON.stringify({ token: signedToken(claims, key, certificate), expires_in: 60 }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const started: TokenServer = {
    realm: `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`,
    service: "registry of the tests",
    issuer: "issuer of the tests",
    certificate,
    scopes: [],
    lifetime: 60,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
  return started;
}

function makeKey(): { readonly key: KeyObject; readonly certificate: string } {
  using folder = temporaryFolder();
  const files = ["-keyout", folder.join("key"), "-out", folder.join("certificate")];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=tokens"];
  run("openssl", ["req", "-x509", ...kind, ...files]);
  const certificate = readFileSync(folder.join("certificate"), "utf8");
  return { key: createPrivateKey(readFileSync(folder.join("key"))), certificate };
}

function signedToken(claims: object, key: KeyObject, certificate: string): string {
  const x5c = [certificate.replaceAll(/-----.*-----|\s/g, "")];
  const parts = [{ alg: "ES256", typ: "JWT", x5c }, claims].map((part) =>
    Buffer.from(JSON.stringify(part)).toString("base64url"),
  );
  const signature = sign("sha256", Buffer.from(parts.join(".")), { key, dsaEncoding: "ieee-p1363" });
  return [...parts, signature.toString("base64url")].join(".");
}
