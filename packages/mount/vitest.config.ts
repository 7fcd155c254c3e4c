export { default } from "@imgtool/testkit/vitest";
