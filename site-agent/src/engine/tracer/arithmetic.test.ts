import { describeContract } from "../testing/contract.ts";

describeContract("element by element", "reductions", "products");
