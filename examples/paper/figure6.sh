# Figure 6: how many patterns every layer of 2CONV needs, over the paper's 100 images by default;
# DATASETS="mnist_1000" leaves CIFAR-10 out.
source "$(dirname "$0")/common.sh"
series=()
for data in ${DATASETS:-mnist_1000 cifar10_1017}; do
    for labels in true random; do
        series+=("${data%_*} $labels=$models/2conv_${data%_*}_$labels.onnx@$SLPC_TESTDATA/$data.npz")
    done
done
slpc capacity "${series[@]}" --preprocess unit --limit "${LIMIT:-100}" \
    --chart "$OUT/figure6.svg" --csv "$OUT/figure6.csv" "$@"
