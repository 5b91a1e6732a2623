//! The names of the attribution methods.

use std::fmt;
use std::str::FromStr;

use crate::similar::expected_one_of;
use crate::{Error, Result};

/// An attribution method.
///
/// ```
/// use lucida::prelude::*;
///
/// assert_eq!("grad-cam++".parse::<Method>()?, Method::GradCamPlusPlus);
/// assert!(Method::Lrp.is_signed() && Method::GradCam.is_of_layer());
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// The magnitude of the gradient, maximum over channels: how strongly each pixel can change the score (Simonyan,
    /// Vedaldi and Zisserman, 2014, "Deep inside convolutional networks", section 3.1).
    Gradient,
    /// The mean gradient of noisy copies of the image (Smilkov et al., 2017, "SmoothGrad: removing noise by adding noise",
    /// equation in section 3), reduced like the gradient.
    SmoothGrad,
    /// The gradient times the input: the first-order term of the score (Shrikumar et al., 2016, "Not just a black box",
    /// section 2).
    GradientXInput,
    /// The backward pass of the gradient, with negative parts dropped at each ReLU (Springenberg et al., 2015, "Striving
    /// for simplicity", figure 1), reduced like the gradient.
    GuidedBackprop,
    /// The gradient integrated along the straight line from a baseline to the image, times their difference (Sundararajan,
    /// Taly and Yan, 2017, "Axiomatic attribution for deep networks", equation 1). The values sum to the difference of the
    /// scores.
    IntegratedGradients,
    /// A layer's channels weighted by their mean gradients (Selvaraju et al., 2017, "Grad-CAM", equations 1 and 2).
    GradCam,
    /// As Grad-CAM, with weights that compensate for the area of an object (Chattopadhay et al., 2018, "Grad-CAM++",
    /// equations 10 and 19).
    GradCamPlusPlus,
    /// A layer's channels weighted at each position by their positive gradients (Jiang et al., 2021, "LayerCAM", equations
    /// 4 to 6).
    LayerCam,
    /// A layer's channels weighted by the score of the image masked by them (Wang et al., 2020, "Score-CAM", algorithm 1).
    ScoreCam,
    /// The mean drop of the score when a patch over the pixel is occluded (Zeiler and Fergus, 2014, "Visualizing and
    /// understanding convolutional networks", section 4.2).
    Occlusion,
    /// The mean probability over random masks that keep the pixel (Petsiuk, Das and Saenko, 2018, "RISE", equation 6).
    Rise,
    /// Layer-wise relevance propagation with the epsilon rule (Bach et al., 2015, "On pixel-wise explanations", equation
    /// 58): the score, propagated back layer by layer.
    Lrp,
}

impl Method {
    /// All methods, in the order of a comparison sheet.
    pub const ALL: [Self; 12] = [
        Self::Gradient,
        Self::SmoothGrad,
        Self::GradientXInput,
        Self::GuidedBackprop,
        Self::IntegratedGradients,
        Self::GradCam,
        Self::GradCamPlusPlus,
        Self::LayerCam,
        Self::ScoreCam,
        Self::Occlusion,
        Self::Rise,
        Self::Lrp,
    ];

    /// The name on a command line and in files: `grad-cam++`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gradient => "gradient",
            Self::SmoothGrad => "smoothgrad",
            Self::GradientXInput => "gradient-x-input",
            Self::GuidedBackprop => "guided-backprop",
            Self::IntegratedGradients => "integrated-gradients",
            Self::GradCam => "grad-cam",
            Self::GradCamPlusPlus => "grad-cam++",
            Self::LayerCam => "layer-cam",
            Self::ScoreCam => "score-cam",
            Self::Occlusion => "occlusion",
            Self::Rise => "rise",
            Self::Lrp => "lrp",
        }
    }

    /// The name in captions: `Grad-CAM++`.
    pub fn title(self) -> &'static str {
        match self {
            Self::Gradient => "Gradient",
            Self::SmoothGrad => "SmoothGrad",
            Self::GradientXInput => "Gradient × input",
            Self::GuidedBackprop => "Guided backprop",
            Self::IntegratedGradients => "Integrated gradients",
            Self::GradCam => "Grad-CAM",
            Self::GradCamPlusPlus => "Grad-CAM++",
            Self::LayerCam => "LayerCAM",
            Self::ScoreCam => "Score-CAM",
            Self::Occlusion => "Occlusion",
            Self::Rise => "RISE",
            Self::Lrp => "LRP (epsilon)",
        }
    }

    /// A one-line description of the map.
    pub fn description(self) -> &'static str {
        match self {
            Self::Gradient => "sensitivity of the score to each pixel",
            Self::SmoothGrad => "the gradient, averaged over noisy copies of the image",
            Self::GradientXInput => "the gradient times the input: evidence for and against the class",
            Self::GuidedBackprop => "the gradient, keeping only positive values at each ReLU",
            Self::IntegratedGradients => "contribution of each pixel to the score's change from the baseline",
            Self::GradCam => "where the channels that raise the class score are active",
            Self::GradCamPlusPlus => "Grad-CAM with pixel-wise weights, better for several or small objects",
            Self::LayerCam => "activations of a layer, weighted by the positive gradient at each position",
            Self::ScoreCam => "channels of a layer, weighted by the score of the image masked with each",
            Self::Occlusion => "drop in the score when a patch is occluded",
            Self::Rise => "mean probability over the random masks that leave the pixel visible",
            Self::Lrp => "the score, propagated back to the pixels layer by layer",
        }
    }

    /// Whether the map is signed: positive values are evidence for the class, negative ones against it.
    pub fn is_signed(self) -> bool {
        matches!(self, Self::GradientXInput | Self::IntegratedGradients | Self::Occlusion | Self::Lrp)
    }

    /// Whether the method uses the output of a layer.
    pub fn is_of_layer(self) -> bool {
        matches!(self, Self::GradCam | Self::GradCamPlusPlus | Self::LayerCam | Self::ScoreCam)
    }

    /// Whether the map is coarser than the image, and may be interpolated.
    pub fn is_smooth(self) -> bool {
        self.is_of_layer() || matches!(self, Self::Occlusion | Self::Rise)
    }
}

impl FromStr for Method {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        // The usual name for the magnitude of the gradient (Simonyan et al., 2014).
        if matches!(name, "saliency" | "saliency-map") {
            return Ok(Self::Gradient);
        }
        Self::ALL.into_iter().find(|method| method.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|method| method.name()).collect();
            Error::argument(format!("unknown attribution method {name:?}{}", expected_one_of(name, &names.join(", "))))
        })
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_and_an_unknown_one_lists_them() {
        for method in Method::ALL {
            assert_eq!(method.to_string().parse::<Method>().unwrap(), method);
        }
        let message = "gradcam".parse::<Method>().unwrap_err().to_string();
        assert!(message.contains("\"gradcam\"") && message.contains("grad-cam++, layer-cam"), "{message}");
    }
}
