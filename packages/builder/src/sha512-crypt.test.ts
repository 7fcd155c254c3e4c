import { needPrograms, run } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { saltFromSeed, sha512Crypt } from "./sha512-crypt.ts";

test("the specification's vector", () => {
  expect(sha512Crypt("Hello world!", "saltstring")).toBe(
    "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
  );
});

test("openssl computes the same", (context) => {
  needPrograms(context, "openssl");
  for (const password of ["a", "pässwörd", "x".repeat(63), "y".repeat(64), "z".repeat(130)]) {
    for (const salt of ["a", "0123456789abcdef"]) {
      const expected = run("openssl", ["passwd", "-6", "-salt", salt, "-stdin"], { input: `${password}\n` }).trim();
      expect(sha512Crypt(password, salt)).toBe(expected);
    }
  }
});

test("a salt depends on the seed alone", () => {
  expect(saltFromSeed("a")).toBe(saltFromSeed("a"));
  expect(saltFromSeed("a")).toMatch(/^[./0-9A-Za-z]{16}$/);
  expect(saltFromSeed("a")).not.toBe(saltFromSeed("b"));
});
