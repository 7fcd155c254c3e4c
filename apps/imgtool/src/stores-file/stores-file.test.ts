/** stores.conf: what its settings mean, which section counts, and that nothing of a secret is shown. */
import { chmodSync, writeFileSync } from "node:fs";
import { ImgtoolError } from "@imgtool/core";
import type { OpenStoreOptions } from "@imgtool/store";
import { temporaryFolder, type TemporaryFolder, testCertificate, testKey } from "@imgtool/testkit";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { storesFileAccess, storesFilePaths } from "./stores-file.ts";

let folder: TemporaryFolder;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => {
  vi.unstubAllEnvs();
  folder[Symbol.dispose]();
});

function write(name: string, text: string, mode = 0o600): string {
  writeFileSync(folder.join(name), text);
  chmodSync(folder.join(name), mode);
  return folder.join(name);
}

const url = "https://example.org/images/1.caibx";

function optionsOf(text: string, location = url): Promise<OpenStoreOptions> {
  const path = write("stores.conf", text);
  return storesFileAccess(() => [path])(location);
}

async function errorOf(text: string): Promise<ImgtoolError> {
  const error: unknown = await optionsOf(text).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ImgtoolError);
  return error as ImgtoolError;
}

test("settings become options of the drivers", async () => {
  write("token", "t0ken.file==\n");
  write("password", "pass word\n");
  write("key.pem", testKey);
  write("cert.pem", testCertificate, 0o644);
  const section = "[Store https://example.org/*]\n";
  expect(await optionsOf(`${section}BearerToken=abc-._~+/1==`)).toEqual({
    headers: { authorization: "Bearer abc-._~+/1==" },
  });
  expect(await optionsOf(`${section}BearerTokenFile=token`)).toEqual({
    headers: { authorization: "Bearer t0ken.file==" },
  });
  expect(await optionsOf(`${section}User=me\nPasswordFile=${folder.join("password")}`)).toEqual({
    headers: { authorization: `Basic ${Buffer.from("me:pass word").toString("base64")}` },
  });
  expect(
    await optionsOf(
      `${section}Header=X-One: 1\nHeader=X-Two: a: b\nClientCertificate=cert.pem\nClientKey=key.pem\nCertificateAuthority=cert.pem\nTimeout=2m\nRetries=0`,
    ),
  ).toEqual({
    headers: { "x-one": "1", "x-two": "a: b" },
    clientCertificate: testCertificate,
    clientKey: testKey,
    certificateAuthority: testCertificate,
    connectTimeout: 120_000,
    headersTimeout: 120_000,
    bodyTimeout: 120_000,
    ftpTimeout: 120_000,
    sshTimeout: 120_000,
    retries: 0,
  });
});

test("the most specific section counts alone, the user's file before the machine's, and a limit is shared", async () => {
  const system = write(
    "system.conf",
    "[Store https://example.org/*]\nRetries=1\n[Store https://example.org/images/*]\nRetries=2",
    0o644,
  );
  const user = write("user.conf", "[Store https://example.org/*]\nRetries=3\nRateLimit=10K", 0o644);
  const access = storesFileAccess(() => [user, folder.join("none"), system]);
  expect(await access(url)).toEqual({ retries: 2 });
  const first = await access("https://example.org/other");
  expect(first).toMatchObject({ retries: 3, rateLimit: { bytesPerSecond: 10_240 } });
  expect((await access("https://example.org/another")).rateLimit).toBe(first.rateLimit);
  expect(await access("https://elsewhere.example/")).toEqual({});
  expect(await access("/a/path")).toEqual({});
});

test("the files are those of XDG and of /etc", () => {
  vi.stubEnv("XDG_CONFIG_HOME", "/xdg");
  expect(storesFilePaths()).toEqual(["/xdg/imgtool/stores.conf", "/etc/imgtool/stores.conf"]);
  vi.stubEnv("XDG_CONFIG_HOME", "relative");
  vi.stubEnv("HOME", "/home/me");
  expect(storesFilePaths()[0]).toBe("/home/me/.config/imgtool/stores.conf");
});

const section = "[Store https://example.org/*]\n";

test.each([
  ["a line that is none", `${section}s3cr3t-of-mine`, "stores.conf:2: "],
  ["a setting outside of sections", "BearerToken=s3cr3t", "stores.conf:1: "],
  ["another section", "[Content]\nA=b", "stores.conf:1: expected a section [Store URL]"],
  ["an unknown setting", `${section}\nBearerTokn=s3cr3t`, "stores.conf:3: unknown setting BearerTokn="],
  ["a line of a token", `${section}s3cr3t==`, "stores.conf:2: unknown setting"],
  ["a setting without a value", `${section}BearerToken=`, "stores.conf:2: BearerToken= has no value"],
  [
    "a continued token",
    `${section}BearerToken=s3cr3t\n  s3cr3t`,
    "stores.conf:2: BearerToken= has no value of one line",
  ],
  ["a setting twice", `${section}Retries=1\nRetries=2`, "stores.conf:3: Retries= is set twice"],
  ["two tokens", `${section}BearerToken=s3cr3t\nUser=me\nPasswordFile=x`, "stores.conf:1: BearerToken= and User="],
  [
    "a token and its header",
    `${section}BearerToken=a\nHeader=Authorization: s3cr3t`,
    "stores.conf:1: Header= and Bear",
  ],
  ["a user alone", `${section}User=me`, "stores.conf:1: User= and PasswordFile= belong together"],
  ["a certificate alone", `${section}ClientCertificate=x`, "stores.conf:1: ClientCertificate= and ClientKey="],
  ["a token with quotes", `${section}BearerToken="s3cr3t"`, "stores.conf:2: this is no bearer token"],
  ["a token that # cuts", `${section}BearerToken=s3cr3t#1`, "stores.conf:2: # begins a comment"],
  ["a header without a name", `${section}Header=s3cr3t`, "stores.conf:2: Header= is no header"],
  ["a header of imgtool's", `${section}Header=Content-Length: 1`, "stores.conf:2: the header Content-Length"],
  ["a time that is none", `${section}Timeout=soon`, "stores.conf:2: expected a number"],
  ["a rate that is none", `${section}RateLimit=fast`, "stores.conf:2: "],
  ["a number that is none", `${section}Retries=-1`, "stores.conf:2: Retries= is no number"],
  ["one URL twice", `${section}${section}`, "stores.conf:2: "],
  ["a token for a bucket", "[Store s3://bucket/*]\nBearerToken=s3cr3t", "stores.conf:2: BearerToken= is not for s3://"],
  ["a scheme without settings", "[Store ssh://host/*]\nRetries=1", "stores.conf:1: there are no settings for ssh://"],
  ["a missing file", `${section}BearerTokenFile=none`, "stores.conf:2: cannot read "],
  ["a folder for a file", `${section}BearerTokenFile=.`, "stores.conf:2: "],
])("%s is an error with its line, and without its value", async (_what, text, message) => {
  const error = await errorOf(text);
  expect(error.message).toContain(message);
  expect(error.hint).toBeDefined();
  expect(JSON.stringify([error.message, error.hint, error.data])).not.toContain("s3cr3t");
});

test("what everybody can read keeps no secret", async () => {
  write("open", "s3cr3t", 0o604);
  write("key.pem", testKey, 0o644);
  write("cert.pem", testCertificate, 0o644);
  for (const text of [
    `${section}BearerTokenFile=open`,
    `${section}User=me\nPasswordFile=open`,
    `${section}ClientCertificate=cert.pem\nClientKey=key.pem`,
  ])
    expect(await errorOf(text)).toMatchObject({ code: "secret-open", exitCode: 2 });
  for (const text of [`${section}BearerToken=s3cr3t`, `${section}Header=X-Key: s3cr3t`]) {
    const path = write("shared.conf", text, 0o644);
    await expect(storesFileAccess(() => [path])(url)).rejects.toMatchObject({ code: "secret-open", data: { path } });
  }
});

test("key and certificate are told apart, and a file with neither is refused", async () => {
  write("key.pem", testKey);
  write("cert.pem", testCertificate);
  const error = await errorOf(`${section}ClientCertificate=key.pem\nClientKey=cert.pem`);
  expect(error.message).toContain("stores.conf:2: ");
  expect(error.message).toContain("has no certificate in PEM form");
});
