import { expect, it } from "vitest";
import { anonymousPatientKey, fileKey, imageKey, patientKey } from "./keys.ts";

const secret = new Uint8Array(32).fill(1);

it("makes 32 hexadecimal digits that depend on the secret, the purpose and the whole value", () => {
  const keys = [
    imageKey(secret, "1.2.3"),
    imageKey(new Uint8Array(32).fill(2), "1.2.3"),
    patientKey(secret, "", "1.2.3"),
    patientKey(secret, "1.2.3", ""),
    patientKey(secret, "1.2", ".3"),
    anonymousPatientKey(secret, "1.2.3"),
    fileKey(secret, "1.2.3"),
    imageKey(secret, "1.2.4"),
  ];
  expect(new Set(keys).size).toBe(keys.length);
  for (const key of keys) expect(key).toMatch(/^[0-9a-f]{32}$/);
});

it("does not mind padding", () => {
  expect(imageKey(secret, "1.2.3\0")).toBe(imageKey(secret, " 1.2.3 "));
  expect(patientKey(secret, "A ", "B ")).toBe(patientKey(secret, "A", "B"));
});
