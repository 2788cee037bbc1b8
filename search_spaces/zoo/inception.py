"""GoogLeNet, Inception v3 and v4, Inception-ResNet v1 and v2, and Xception."""

from search_spaces.zoo.published import Published, join

# 1x1, reduced 3x3, 3x3, reduced 5x5, 5x5, after the pool; None is the pool between stages
_GOOGLENET = ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), "pool_max_k3_s2_ceil_valid",
              (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64),
              (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128), "pool_max_k2_s2_ceil_valid",
              (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128))
_POOL = "pool_max_k3_s2_valid"


def _googlenet(kernel: str) -> str:
    blocks = [part if isinstance(part, str) else
              "inception_o{0}_t{2}_f{4}_relu_tr{1}_fr{3}_p{5}".format(*part) + kernel for part in _GOOGLENET]
    pool = "pool_max_k3_s2_ceil_valid"
    return join("in_r224_c3_symmetric_eps0.001", "conv_k7_c64_s2_relu", pool, "conv_k1_c64_s1_relu",
                "conv_k3_c192_s1_relu", pool, *blocks, "fc_n1000")


def _inception_v3() -> str:
    stem = ("conv_k3_c32_s2_relu_valid", "conv_k3_c32_s1_relu_valid", "conv_k3_c64_s1_relu", _POOL,
            "conv_k1_c80_s1_relu", "conv_k3_c192_s1_relu_valid", _POOL)
    largest = [f"inceptiona_o64_f64_d96_p{pool}_fr48_dr64_relu_allpixels" for pool in (32, 64, 64)]
    middle = [f"inceptionb_o192_r{count}_m{count}_c192_p192_relu_allpixels" for count in (128, 160, 160, 192)]
    smallest = ["inceptionc_o320_c384_r384_dr448_d384_p192_relu_allpixels"] * 2
    return join("in_r299_c3_symmetric_eps0.001", *stem, *largest, "reductiona_c384_r64_m96_d96_relu", *middle,
                "reductionb_r192_c320_fr192_f192_relu", *smallest, "fc_n1000")


def _inception_v4() -> str:
    stem = ("conv_k3_c32_s2_relu_valid", "conv_k3_c32_s1_relu_valid", "conv_k3_c64_s1_relu", "stemreduction_c96_relu",
            "stemsplit_r64_c96_relu", "stemreduction_c192_relu_convfirst")
    return join("in_r299_c3_symmetric_eps0.001", *stem, *["inceptiona_o96_f96_d96_p96_fr64_dr64_relu_k3"] * 4,
                "reductiona_c384_r192_m224_d256_relu", *["inceptionb_o384_r192_m224_c256_p128_relu"] * 7,
                "reductionb_r192_c192_fr256_f320_relu", *["inceptionc_o256_c256_r384_dr384_d512_p256_relu_m448"] * 3,
                "fc_n1000")


def _inception_resnet_v1() -> str:
    stem = ("conv_k3_c32_s2_relu_valid", "conv_k3_c32_s1_relu_valid", "conv_k3_c64_s1_relu", _POOL,
            "conv_k1_c80_s1_relu", "conv_k3_c192_s1_relu_valid", "conv_k3_c256_s2_relu_valid")
    return join("in_r299_c3_symmetric_eps0.001", *stem, *["inceptionresa_o32_m32_d32_relu"] * 5,
                "reductiona_c384_r192_m192_d256_relu", *["inceptionresb_o128_r128_m128_c128_relu"] * 10,
                "reductionresb_r256_a384_b256_d256_relu", *["inceptionresc_o192_m192_c192_relu"] * 5,
                "inceptionresc_o192_m192_c192_relu_by1_linearend", "gap", "conv_k1_c512_s1_linear", "fc_n1000")


def _inception_resnet_v2() -> str:
    stem = ("conv_k3_c32_s2_relu_valid", "conv_k3_c32_s1_relu_valid", "conv_k3_c64_s1_relu", _POOL,
            "conv_k1_c80_s1_relu", "conv_k3_c192_s1_relu_valid", _POOL, "inceptiona_o96_f64_d96_p64_fr48_dr64_relu")
    return join("in_r299_c3_symmetric_eps0.001", *stem, *["inceptionresa_o32_m48_d64_relu"] * 10,
                "reductiona_c384_r256_m256_d384_relu", *["inceptionresb_o192_r128_m160_c192_relu"] * 20,
                "reductionresb_r256_a384_b288_d320_relu", *["inceptionresc_o192_m224_c256_relu"] * 9,
                "inceptionresc_o192_m224_c256_relu_by1_linearend", "head_c1536_relu_n1000")


def _xception() -> str:
    return join("in_r299_c3_symmetric", "conv_k3_c32_s2_relu_valid", "conv_k3_c64_s1_relu_valid",
                "xception_c128_s2_relu_inactive", "xception_c256_s2_relu", "xception_c728_s2_relu",
                *["xception_c728_s1_relu_n3"] * 8, "xception_c1024_s2_relu_growlast",
                "conv_k3_c1536_s1_relu_separable", "conv_k3_c2048_s1_relu_separable", "fc_n1000")


PUBLISHED = {
    "googlenet": Published(_googlenet("_k3"), "inception", "Szegedy et al. 2015, table 1, with 3x3 for 5x5",
                           ("torchvision:GoogLeNet",)),
    "googlenet_5x5": Published(_googlenet(""), "inception", "Szegedy et al. 2015, table 1, with batch norm"),
    "inception_v3": Published(_inception_v3(), "inception", "Szegedy et al. 2016, table 1", ("imgclsmob:InceptionV3",)),
    "inception_v4": Published(_inception_v4(), "inception", "Szegedy et al. 2017, figure 9",
                              ("imgclsmob:InceptionV4",)),
    "inception_resnet_v1": Published(_inception_resnet_v1(), "inception", "Szegedy et al. 2017, figure 15",
                                     ("imgclsmob:InceptionResNetV1",)),
    "inception_resnet_v2": Published(_inception_resnet_v2(), "inception", "Szegedy et al. 2017, figure 15",
                                     ("imgclsmob:InceptionResNetV2",)),
    "xception": Published(_xception(), "xception", "Chollet 2017, figure 5", ("imgclsmob:Xception",)),
}
