import { expect, test } from "vitest";
import { splitVerb } from "./arguments.ts";

test("the verb may stand anywhere before its operands", async () => {
  expect(await splitVerb([])).toEqual({ verb: "build", rest: [] });
  expect(await splitVerb(["summary", "--json"])).toEqual({ verb: "summary", rest: ["--json"] });
  expect(await splitVerb(["--json", "summary"])).toEqual({ verb: "summary", rest: ["--json"] });
  expect(await splitVerb(["-f", "-d", "debian", "build", "-p", "nano"])).toEqual({
    verb: "build",
    rest: ["-f", "-d", "debian", "-p", "nano"],
  });
  expect(await splitVerb(["-f", "-p", "make"])).toEqual({ verb: "build", rest: ["-f", "-p", "make"] });
  expect(await splitVerb(["make", "x.caibx", "build"])).toEqual({ verb: "make", rest: ["x.caibx", "build"] });
  expect(await splitVerb(["--distribution=debian"])).toEqual({ verb: "build", rest: ["--distribution=debian"] });
});

test("an option that may have a value, before the verb", async () => {
  for (const options of [["--verity"], ["--verity", "signed"], ["-b"], ["-b", "no"], ["--xz"]])
    expect(await splitVerb([...options, "build"])).toEqual({ verb: "build", rest: options });
  expect(await splitVerb(["--verity", "signed", "--xz", "build", "-f"])).toEqual({
    verb: "build",
    rest: ["--verity", "signed", "--xz", "-f"],
  });
});

test("help of a verb, and the overview", async () => {
  expect(await splitVerb(["help", "make"])).toEqual({ verb: "make", rest: ["--help"] });
  expect(await splitVerb(["--help"])).toEqual({ verb: undefined, rest: ["--help"] });
  expect(await splitVerb(["help"])).toEqual({ verb: undefined, rest: ["help"] });
});

test("an unknown verb is an error with the nearest name", async () => {
  await expect(splitVerb(["publsh"])).rejects.toMatchObject({
    code: "verb-unknown",
    exitCode: 2,
    hint: "did you mean publish?",
  });
});

test("two letters in the wrong order are one slip", async () => {
  await expect(splitVerb(["buidl"])).rejects.toMatchObject({ hint: "did you mean build?" });
});
