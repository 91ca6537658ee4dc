"""Writes tests/data/tensorflow_release: a checkpoint that TensorFlow saved, and what TensorFlow computes with it.

The network is a small one of the structure and the variable names of the authors' release, in TensorFlow's graph mode;
Adam's slots and the step are saved with it, as in training. TensorFlow is no dependency of the tests. In an environment
that has it:

    python tests/helpers/tensorflow_release.py tests/data/tensorflow_release
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf

CHANNELS, CLASSES, LATENT, CONVS, FCOMB_CONVS, INPUTS = [4, 6, 8], 5, 3, 3, 3, 3
SIZE = (18, 23)  # odd sizes appear in the second scale, 9 x 12, and the third, 5 x 6


def convolution(x: tf.Tensor, width: int, side: int, name: str) -> tf.Tensor:
    with tf.variable_scope(name):
        scale = (2 / (side * side * int(x.shape[-1]))) ** 0.5
        w = tf.get_variable(
            "w", (side, side, x.shape[-1], width), initializer=tf.truncated_normal_initializer(0, scale)
        )
        b = tf.get_variable("b", (width,), initializer=tf.truncated_normal_initializer(0, 0.1))
        return tf.nn.conv2d(x, w, strides=1, padding="SAME") + b


def convolutions(x: tf.Tensor, width: int, count: int, side: int = 3) -> tf.Tensor:
    for i in range(count):
        x = tf.nn.relu(convolution(x, width, side, "conv_2d" if i == 0 else f"conv_2d_{i}"))
    return x


def encoder(x: tf.Tensor) -> list[tf.Tensor]:
    found = []
    with tf.variable_scope("vgg_enc"):
        for i, width in enumerate(CHANNELS):
            with tf.variable_scope(f"down_block_{i}"):
                x = x if i == 0 else tf.nn.avg_pool(x, ksize=2, strides=2, padding="SAME")
                x = convolutions(x, width, CONVS)
            found.append(x)
    return found


def unet(images: tf.Tensor) -> tf.Tensor:
    with tf.variable_scope("unet"):
        *skips, x = encoder(images)
        with tf.variable_scope("vgg_dec"):
            for i in reversed(range(len(skips))):
                with tf.variable_scope(f"up_block_{i}"):
                    up = tf.image.resize_images(x, skips[i].shape[1:3], align_corners=True)
                    x = convolutions(tf.concat([up, skips[i]], axis=-1), CHANNELS[i], CONVS)
    return x


def gaussian(x: tf.Tensor, name: str) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.variable_scope(name):
        mean = tf.reduce_mean(encoder(x)[-1], axis=[1, 2], keepdims=True)
        mu, log_sigma = tf.split(tf.squeeze(convolution(mean, 2 * LATENT, 1, "conv_2d"), [1, 2]), 2, axis=1)
        return mu, tf.exp(log_sigma)


def f_comb(features: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
    with tf.variable_scope("conv_decoder"):
        tiled = tf.tile(z[:, None, None], [1, *features.shape[1:3], 1])
        x = convolutions(tf.concat([features, tiled], axis=-1), CHANNELS[0], FCOMB_CONVS, side=1)
        return convolution(x, CLASSES, 1, f"conv_2d_{FCOMB_CONVS}")


def main(folder: Path) -> None:
    tf.disable_eager_execution()
    tf.set_random_seed(1)
    random = np.random.default_rng(0)
    images = tf.placeholder(tf.float32, (2, *SIZE, INPUTS))
    labels, z = tf.placeholder(tf.int32, (2, *SIZE)), tf.placeholder(tf.float32, (2, LATENT))
    with tf.variable_scope("prob_unet"):
        features = unet(images)
        logits = f_comb(features, z)
        prior = gaussian(images, "prior")
        posterior = gaussian(tf.concat([images, tf.one_hot(labels, CLASSES) - 0.5], axis=-1), "posterior")
    loss = tf.reduce_sum(logits**2) + sum(tf.reduce_sum(part**2) for part in (*prior, *posterior))
    train = tf.train.AdamOptimizer(1e-4).minimize(loss, tf.train.get_or_create_global_step())
    fed = {
        images: random.random((2, *SIZE, INPUTS), np.float32),
        labels: random.integers(0, CLASSES, (2, *SIZE)),
        z: random.standard_normal((2, LATENT)).astype(np.float32),
    }
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(train, fed)
        tf.train.Saver(save_relative_paths=True).save(
            session, str(folder / "model.ckpt"), global_step=1, write_meta_graph=False
        )
        outputs = {"features": features, "logits": logits, "mu": prior[0], "sigma": prior[1]}
        outputs |= {"posterior_mu": posterior[0], "posterior_sigma": posterior[1]}
        recorded = session.run(outputs, fed)
    np.savez_compressed(folder / "recorded.npz", images=fed[images], labels=fed[labels], z=fed[z], **recorded)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
