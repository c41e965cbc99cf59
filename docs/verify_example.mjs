// Stochastic gradient descent for the case sgd/plain, as a program without Python gives its answer to the kit.
//
//     python -m minilop.verify inputs sgd/plain > inputs.json
//     node docs/verify_example.mjs inputs.json actual.json
//     python -m minilop.verify compare sgd/plain actual.json

import { readFileSync, writeFileSync } from "node:fs";

const [inputsFile, actualFile] = process.argv.slice(2);
const given = JSON.parse(readFileSync(inputsFile, "utf8"));
const { sizes, steps, inputs } = given;
const stepSize = given.hyperparameters.step_size;
const layers = sizes.layers.slice(1).map((_, layer) => layer); // 0, 1, ..., those with weights

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
const transpose = (matrix) => matrix[0].map((_, column) => matrix.map((row) => row[column]));
const dot = (left, right) => sum(left.map((value, i) => value * right[i]));
const multiply = (left, right) => left.map((row) => transpose(right).map((column) => dot(row, column)));
const combine = (left, right, rule) => left.map((row, i) => row.map((value, j) => rule(value, right[i][j])));

const weights = layers.map((layer) => inputs[`state/weight/${layer}`]); // (O, I)
const biases = layers.map((layer) => inputs[`state/bias/${layer}`]); // (O,)
const actual = {};
const record = (name, value) => (actual[name] ??= []).push(structuredClone(value)); // a copy: weights change later

for (let step = 0; step < steps; step++) {
  const [x, y] = [inputs.x[step], inputs.y[step]]; // (I, B), (O, B)
  const values = [x]; // inputs, features of the hidden layers, outputs
  for (const layer of layers) {
    const products = multiply(weights[layer], values[layer]);
    const sums = products.map((row, unit) => row.map((value) => value + biases[layer][unit]));
    const isHidden = layer < layers.length - 1;
    values.push(isHidden ? sums.map((row) => row.map((value) => Math.max(value, 0))) : sums);
    record(isHidden ? `features/${layer}` : "outputs", values[layer + 1]);
  }
  const error = combine(values.at(-1), y, (output, target) => output - target);
  record("losses", transpose(error).map((example) => sum(example.map((value) => value ** 2))));

  const batch = x[0].length;
  let gradient = error.map((row) => row.map((value) => (2 * value) / batch)); // of the mean loss
  for (const layer of [...layers].reverse()) {
    const weightGradient = multiply(gradient, transpose(values[layer]));
    const biasGradient = gradient.map(sum);
    record(`weight_gradient/${layer}`, weightGradient);
    record(`bias_gradient/${layer}`, biasGradient);
    const back = multiply(transpose(weights[layer]), gradient);
    gradient = combine(back, values[layer], (value, feature) => (feature > 0 ? value : 0));
    weights[layer] = combine(weights[layer], weightGradient, (weight, slope) => weight - stepSize * slope);
    biases[layer] = biases[layer].map((bias, unit) => bias - stepSize * biasGradient[unit]);
    record(`weight/${layer}`, weights[layer]);
    record(`bias/${layer}`, biases[layer]);
  }
}
writeFileSync(actualFile, JSON.stringify(actual));
