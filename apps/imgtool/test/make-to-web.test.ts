// @module-tag system
/** `imgtool make` straight into a store on a web server, and `extract` from it. */
import { readFileSync, writeFileSync } from "node:fs";
import { serveDirectory, type ServedRequest } from "@imgtool/store";
import { randomBytes, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { cliAsync, expectError } from "./cli.ts";

test("a publish sends only the chunks that the server lacks; one that takes no writes is an error", async () => {
  using folder = temporaryFolder();
  const requests: ServedRequest[] = [];
  await using resources = new AsyncDisposableStack();
  const options = { writable: true, onRequest: (request: ServedRequest) => void requests.push(request) };
  const server = await serveDirectory(folder.path, options);
  resources.defer(() => server.close());
  const readOnly = await serveDirectory(folder.path);
  resources.defer(() => readOnly.close());
  const content = randomBytes(2_000_000, "web");
  const make = (index: string): Promise<unknown> =>
    cliAsync(["make", `--store=${server.url}`, folder.join(index), folder.join("raw")]);
  writeFileSync(folder.join("raw"), content);
  expect(await make("1.caibx")).toMatchObject({ exitCode: 0 });
  const first = requests.filter(({ method }) => method === "PUT").length;
  expect(first).toBeGreaterThan(10);
  writeFileSync(folder.join("raw"), Buffer.concat([content, randomBytes(50_000, "more")]));
  expect(await make("2.caibx")).toMatchObject({ exitCode: 0 });
  const second = requests.filter(({ method }) => method === "PUT").length - first;
  expect(second).toBeGreaterThan(0);
  expect(second).toBeLessThan(4);
  const extracted = await cliAsync(["extract", `--store=${server.url}`, folder.join("2.caibx"), folder.join("out")]);
  expect(extracted).toMatchObject({ exitCode: 0 });
  expect(readFileSync(folder.join("out")).equals(readFileSync(folder.join("raw")))).toBe(true);
  writeFileSync(folder.join("raw"), randomBytes(100_000, "other"));
  const refused = await cliAsync(["make", `--store=${readOnly.url}`, folder.join("3.caibx"), folder.join("raw")]);
  expectError(refused, 8, "405", "imgtool serve --writable");
});
