// Writes the files in `files/` with TensorFlow.js, and its predictions: `npm i @tensorflow/tfjs && node fixtures.js`.

const fs = require('fs');
const path = require('path');
const tf = require('@tensorflow/tfjs');

const out = path.join(__dirname, 'files');

/** Saves a model as the browser does: `NAME/model.json` and its weights, in `shards` files. */
async function save(name, model, shards) {
  await model.save(tf.io.withSaveHandler(async ({ modelTopology, weightSpecs, weightData, format, generatedBy, convertedBy }) => {
    const folder = path.join(out, name);
    fs.mkdirSync(folder, { recursive: true });
    const bytes = Buffer.from(weightData);
    const paths = Array.from({ length: shards }, (_, at) => (shards === 1 ? 'weights.bin' : `group1-shard${at + 1}of${shards}`));
    const each = Math.ceil(bytes.length / shards);
    paths.forEach((file, at) => fs.writeFileSync(path.join(folder, file), bytes.subarray(at * each, (at + 1) * each)));
    const json = { modelTopology, format, generatedBy, convertedBy, weightsManifest: [{ paths, weights: weightSpecs }] };
    fs.writeFileSync(path.join(folder, 'model.json'), JSON.stringify(json));
    return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: 'JSON' } };
  }));
}

async function main() {
  await tf.setBackend('cpu');
  const features = tf.sequential({ name: 'features' });
  features.add(tf.layers.conv2d({ inputShape: [12, 12, 3], filters: 4, kernelSize: 3, strides: 2, padding: 'same', useBias: false, name: 'stem', kernelInitializer: tf.initializers.glorotUniform({ seed: 1 }) }));
  features.add(tf.layers.batchNormalization({ name: 'stem_bn', betaInitializer: tf.initializers.randomUniform({ minval: -0.2, maxval: 0.2, seed: 2 }), movingMeanInitializer: tf.initializers.randomUniform({ minval: -0.2, maxval: 0.2, seed: 3 }), movingVarianceInitializer: tf.initializers.randomUniform({ minval: 0.5, maxval: 1.5, seed: 4 }) }));
  features.add(tf.layers.reLU({ maxValue: 6, name: 'stem_relu' }));
  features.add(tf.layers.globalAveragePooling2d({ name: 'pool' }));
  const head = tf.sequential({ name: 'head' });
  head.add(tf.layers.dense({ inputShape: [4], units: 5, activation: 'relu', name: 'hidden', kernelInitializer: tf.initializers.varianceScaling({ seed: 5, distribution: 'normal', scale: 1, mode: 'fanIn' }) }));
  head.add(tf.layers.dense({ units: 3, activation: 'softmax', useBias: false, name: 'last', kernelInitializer: tf.initializers.glorotUniform({ seed: 6 }) }));
  const model = tf.sequential({ name: 'photos' });
  model.add(features);
  model.add(head);
  await save('whole', model, 1);
  await save('shards', model, 3);
  fs.writeFileSync(path.join(out, 'whole', 'metadata.json'), JSON.stringify({ tfjsVersion: '1.7.4', modelName: 'photos', labels: ['cat', 'dog', 'bird'], imageSize: 12 }));
  const values = Array.from({ length: 2 * 12 * 12 * 3 }, (_, at) => Math.round(1000 * Math.sin(at * 0.37)) / 1000);
  const predicted = await model.predict(tf.tensor(values, [2, 12, 12, 3])).data();
  fs.writeFileSync(path.join(out, 'expected.json'), JSON.stringify({ input: values, output: Array.from(predicted) }));
}

main();
