//! The types that most programs need: `use lucida::prelude::*`.

pub use crate::core::{Detail, Progress, Step, Unit};
pub use crate::data::{
    Augment, Augmented, ColorMode, Dataset, Folder, Image, LabelSource, LabeledImages, Mnist, Preprocessing, Subset,
    Targets, stratified_split,
};
pub use crate::explain::maximize::{Fourier, Maximized, Objective, Target, maximize};
pub use crate::explain::{ExplainConfig, Explainer, HeatMap, Method, overlay};
pub use crate::model::{Model, Predicted, Prediction};
pub use crate::nn::layers::{
    Activation, ActivationKind, Add, AveragePooling2D, BatchNormalization, Concatenate, Conv2D, Conv2DTranspose, Dense,
    DepthwiseConv2D, Dropout, Flatten, GlobalAveragePooling2D, GlobalMaxPooling2D, MaxPooling2D, Padding, Rescaling,
    Reshape, SeparableConv2D, UpSampling2D, ZeroPadding2D,
};
pub use crate::nn::{Loss, LossKind, Network, Optimizer, Plan, Schedule, Sequential, applications, summary};
pub use crate::style::{Pooling, Preset, StyleConfig, StyleNetwork, StyleRequest, StyleResult, transfer};
pub use crate::train::{
    Callback, CsvLogger, EarlyStopping, Evaluation, Head, Metric, MetricKind, MetricValues, ReduceLrOnPlateau,
    TensorBoard, TrainConfig, TrainResult, Trainer, Transfer, evaluate, evaluate_metrics,
};
pub use crate::{Cpu, Error, Result};
