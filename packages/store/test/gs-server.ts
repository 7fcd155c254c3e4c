/**
 * A strict stand-in for Google Cloud Storage's XML API, for what no emulator has: signatures in Google's words,
 * conditions on generations, OAuth tokens. Made after Google's reference ("XML API: requests, headers", "V4
 * signing process"), not after the driver: what the driver sends and the reference does not know is refused.
 * @module
 */
import { createHash, createHmac, createVerify } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

interface StoredObject {
  readonly bytes: Buffer;
  readonly generation: number;
  readonly modified: number;
}

export interface GsServer {
  /** 127.0.0.1:port */
  readonly host: string;
  readonly key: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** The token that is taken at the moment, and how it was asked for. */
  token: string;
  readonly tokenRequests: string[];
  /** With which the account's assertions are verified, in PEM form. */
  accountKey: string;
  /** The objects of the one bucket, `bucket`; those of `public` are read by anyone. */
  readonly objects: Map<string, StoredObject>;
  put(key: string, bytes: Uint8Array, modified?: number): void;
  close(): Promise<void>;
}

class Refusal extends Error {
  readonly status: number;
  constructor(status: number, code: string) {
    super(code);
    this.status = status;
  }
}

export async function startGsServer(): Promise<GsServer> {
  let generation = 1_700_000_000_000_000;
  const server = createServer((request, response) => {
    void answer(request, response).catch((error: unknown) => {
      const status = error instanceof Refusal ? error.status : 500;
      response
        .writeHead(status)
        .end(
          `<?xml version='1.0'?><Error><Code>${error instanceof Refusal ? error.message : "InternalError"}</Code></Error>`,
        );
    });
  });
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const body = Buffer.concat(pieces);
    const url = new URL(request.url ?? "", `http://${started.host}`);
    if (url.pathname.startsWith("/computeMetadata/")) return metadata(request, response);
    if (url.pathname === "/token") return exchangeToken(body.toString(), response);
    if (Object.keys(request.headers).some((name) => name.startsWith("x-amz-")))
      throw new Refusal(400, "ExcessHeaderValues");
    const [, bucket = "", ...rest] = url.pathname.split("/");
    if (bucket !== "public" || !["GET", "HEAD"].includes(request.method ?? "")) authorize(request, url, body);
    if (bucket !== "bucket" && bucket !== "public") throw new Refusal(404, "NoSuchBucket");
    const key = rest.map(decodeURIComponent).join("/");
    if (key === "") return list(url.searchParams, response);
    const found = started.objects.get(key);
    const expected = request.headers["x-goog-if-generation-match"];
    if (expected !== undefined && String(found?.generation ?? 0) !== expected)
      throw new Refusal(412, "PreconditionFailed");
    if (request.method === "PUT") {
      // the reference knows it with GET and HEAD only
      if (request.headers["if-none-match"] !== undefined) throw new Refusal(400, "InvalidArgument");
      return put(request, response, key, body);
    }
    if (found === undefined) throw new Refusal(404, "NoSuchKey");
    if (request.method === "DELETE") {
      started.objects.delete(key);
      response.writeHead(204).end();
      return;
    }
    const [, first = "0", last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    const bytes = found.bytes.subarray(Number(first), last === undefined ? undefined : Number(last) + 1);
    response.writeHead(last === undefined ? 200 : 206, {
      "content-length": bytes.length,
      ...(last === undefined ? {} : { "content-range": `bytes ${first}-${last}/${found.bytes.length}` }),
      "last-modified": new Date(found.modified).toUTCString(),
      etag: `"${createHash("md5").update(found.bytes).digest("hex")}"`,
      "x-goog-generation": found.generation,
    });
    response.end(request.method === "HEAD" ? undefined : bytes);
  };

  const put = (request: IncomingMessage, response: ServerResponse, key: string, body: Buffer): void => {
    const source = request.headers["x-goog-copy-source"];
    if (source === undefined) {
      started.put(key, body);
      response.writeHead(200).end();
      return;
    }
    const [, bucket, ...parts] = String(source).split("/").map(decodeURIComponent);
    const copied = bucket === "bucket" ? started.objects.get(parts.join("/")) : undefined;
    if (copied === undefined) throw new Refusal(404, "NoSuchKey");
    if (request.headers["x-goog-metadata-directive"] !== "REPLACE") throw new Refusal(400, "InvalidArgument");
    started.put(key, copied.bytes);
    response.writeHead(200).end("<CopyObjectResult><ETag>x</ETag></CopyObjectResult>");
  };

  const list = (query: URLSearchParams, response: ServerResponse): void => {
    if (query.get("list-type") !== "2") throw new Refusal(400, "InvalidArgument");
    const prefix = query.get("prefix") ?? "";
    const after = query.get("continuation-token") ?? "";
    const keys = [...started.objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
    const page = keys.slice(0, Number(query.get("max-keys") ?? 1000));
    const isTruncated = page.length < keys.length;
    const contents = page.map((key) => {
      const {
        bytes,
        modified,
        generation: version,
      } = started.objects.get(key) ?? { bytes: Buffer.alloc(0), modified: 0 };
      return `<Contents><Key>${encodeURIComponent(key)}</Key><Generation>${version}</Generation><LastModified>${new Date(modified).toISOString()}</LastModified><Size>${bytes.length}</Size></Contents>`;
    });
    const next = isTruncated ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : "";
    response
      .writeHead(200)
      .end(
        `<?xml version='1.0' encoding='UTF-8'?><ListBucketResult xmlns='http://doc.s3.amazonaws.com/2006-03-01'><EncodingType>url</EncodingType>${next}<IsTruncated>${isTruncated}</IsTruncated>${contents.join("")}</ListBucketResult>`,
      );
  };

  const authorize = (request: IncomingMessage, url: URL, body: Buffer): void => {
    const given = request.headers.authorization ?? "";
    if (given === `Bearer ${started.token}`) return;
    if (given.startsWith("Bearer ")) throw new Refusal(401, "AuthenticationRequired");
    if (given === "") throw new Refusal(403, "AccessDenied");
    if (given !== expectedSignature(request, url, body, started.key)) throw new Refusal(403, "SignatureDoesNotMatch");
  };

  const metadata = (request: IncomingMessage, response: ServerResponse): void => {
    if (request.headers["metadata-flavor"] !== "Google") throw new Refusal(403, "no flavor");
    started.tokenRequests.push("metadata");
    response
      .writeHead(200)
      .end(JSON.stringify({ access_token: started.token, expires_in: 3600, token_type: "Bearer" }));
  };

  const exchangeToken = (form: string, response: ServerResponse): void => {
    const fields = new URLSearchParams(form);
    started.tokenRequests.push(fields.get("grant_type") ?? "");
    if (fields.get("grant_type") === "refresh_token") {
      if (fields.get("refresh_token") !== "refreshing" || fields.get("client_secret") !== "client-secret")
        throw new Refusal(400, "invalid_grant");
    } else if (!isAssertion(fields.get("assertion") ?? "", started.accountKey, `http://${started.host}/token`)) {
      throw new Refusal(400, "invalid_grant");
    }
    response.writeHead(200).end(JSON.stringify({ access_token: started.token, expires_in: 3600 }));
  };

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const started: GsServer = {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    key: { accessKeyId: "GOOG1EXAMPLE", secretAccessKey: "se+cr/et" },
    token: "ya29.first",
    tokenRequests: [],
    accountKey: "",
    objects: new Map(),
    put: (key, bytes, modified = Date.now()) =>
      void started.objects.set(key, { bytes: Buffer.from(bytes), generation: generation++, modified }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return started;
}

function hmac(secret: string | Buffer, message: string): Buffer {
  return createHmac("sha256", secret).update(message).digest();
}

/** What Authorization has to be, of the request as it came in. */
function expectedSignature(
  request: IncomingMessage,
  url: URL,
  body: Buffer,
  key: { readonly accessKeyId: string; readonly secretAccessKey: string },
): string {
  const { headers } = request;
  const time = String(headers["x-goog-date"]);
  const sent = Date.parse(time.replace(/(....)(..)(..T..)(..)(..)Z/, "$1-$2-$3:$4:$5Z"));
  if (!(Math.abs(sent - Date.now()) < 900_000)) throw new Refusal(403, "RequestTimeTooSkewed");
  const digest = createHash("sha256").update(body).digest("hex");
  if (headers["x-goog-content-sha256"] !== digest) throw new Refusal(400, "XAmzContentSHA256Mismatch");
  const names = Object.keys(headers)
    .filter((name) => name === "host" || name.startsWith("x-goog-"))
    .sort();
  const query = (url.search === "" ? [] : url.search.slice(1).split("&")).sort().join("&");
  const lines = names.map((name) => `${name}:${String(headers[name])}\n`).join("");
  const canonical = `${request.method}\n${url.pathname}\n${query}\n${lines}\n${names.join(";")}\n${digest}`;
  const scope = `${time.slice(0, 8)}/auto/storage/goog4_request`;
  const text = `GOOG4-HMAC-SHA256\n${time}\n${scope}\n${createHash("sha256").update(canonical).digest("hex")}`;
  const day = hmac(`GOOG4${key.secretAccessKey}`, time.slice(0, 8));
  const signing = hmac(hmac(hmac(day, "auto"), "storage"), "goog4_request");
  return `GOOG4-HMAC-SHA256 Credential=${key.accessKeyId}/${scope}, SignedHeaders=${names.join(";")}, Signature=${hmac(signing, text).toString("hex")}`;
}

/** RFC 7523, 3: signed by the account, for this server, not ended. */
function isAssertion(token: string, publicKey: string, audience: string): boolean {
  const [head = "", claims = "", signature = ""] = token.split(".");
  const verified = createVerify("RSA-SHA256").update(`${head}.${claims}`).verify(publicKey, signature, "base64url");
  const { alg } = JSON.parse(Buffer.from(head, "base64url").toString()) as { alg: string };
  const { iss, aud, exp, iat, scope } = JSON.parse(Buffer.from(claims, "base64url").toString()) as Record<
    string,
    unknown
  >;
  const now = Date.now() / 1000;
  return (
    verified &&
    alg === "RS256" &&
    iss === "robot@project.iam.gserviceaccount.com" &&
    aud === audience &&
    Number(exp) > now &&
    Number(exp) - Number(iat) <= 3600 &&
    scope === "https://www.googleapis.com/auth/devstorage.read_write"
  );
}
