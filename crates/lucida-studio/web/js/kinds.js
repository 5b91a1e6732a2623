// What the pages say about kinds of layers.

/** Short names, where there is little room. */
export const SHORT = { MaxPooling2D: 'MaxPool', AveragePooling2D: 'AvgPool', GlobalAveragePooling2D: 'GlobalAvg', Concatenate: 'Concat', InputLayer: 'Input', BatchNormalization: 'BatchNorm' };

/** What a kind of layer does, in a sentence. */
export const SAYS = {
  Conv2D: 'Each output is a weighted sum over a small window of the input, with the same weights at every position.',
  DepthwiseConv2D: 'A convolution of each map alone: nothing is summed over the maps.',
  SeparableConv2D: 'A convolution of each map alone, then a weighted sum over the maps at each position.',
  Conv2DTranspose: 'Each input adds its value times the kernel to a window of a larger output.',
  Dense: 'Each unit is a weighted sum of all its inputs.',
  MaxPooling2D: 'Each window is replaced by its maximum.',
  AveragePooling2D: 'Each window is replaced by its mean.',
  GlobalAveragePooling2D: 'Each map is replaced by its mean: one value per map.',
  GlobalMaxPooling2D: 'Each map is replaced by its maximum: one value per map.',
  AdaptiveAveragePooling2D: 'Each map is divided into a fixed number of parts, each replaced by its mean.',
  BatchNormalization: 'Each map is normalized with the mean and variance from training, then scaled and shifted.',
  Activation: 'A nonlinear function, such as ReLU or softmax.',
  Concatenate: 'The maps of several branches, concatenated along the channels.',
  Add: 'The sum of several branches.',
  Flatten: 'The same values as one vector.',
  Dropout: 'In training, random values are set to zero; a prediction passes through unchanged.',
  ZeroPadding2D: 'A border of zeros.',
  Input: 'The image after preprocessing.',
};
