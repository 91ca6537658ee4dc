// Latent maps at the pixels of a block: interpolated linearly with aligned corners, as in reference.py, and multiplied into
// the first layer's input. A block is cut into pieces that lie in one vector and in one row of the image, for which the cells
// of a few rows of the grid are averaged, and then spread to the pixels by a permutation.

INLINE vec permute(vec x, ivec index) {
#if defined(USE_AVX512)
    return _mm512_permutexvar_ps((__m512i)index, x);
#elif defined(USE_AVX2)
    return _mm256_permutevar8x32_ps(x, (__m256i)index);
#else
    vec out = {};
    for (int i = 0; i < LANES; i++) out[i] = x[index[i] & (LANES - 1)];
    return out;
#endif
}

struct MapPiece {
    int32_t column[LANES];  // of the cell left of each pixel, counted from that of the first
    int32_t inside[LANES];  // all bits set where the pixel belongs to the piece
    float along[LANES];     // how far it is on its way to the next cell
    int64_t rows[4];        // the cells left of the first pixel, in the rows of the grid on all sides
    float weights[4];
    int vector;  // its pixels are those from vector * LANES on
};

// The pieces of one block of pixels.
struct MapPieces {
    static constexpr int MOST = BLOCK;
    MapPiece pieces[MOST];
    int count, rows;  // rows of the grid that a piece takes

    // The cell before a place on an axis, and how far it is on the way to the next one.
    static int64_t cell(const Maps& maps, int axis, int64_t place, float& along) {
        const int64_t size = maps.size[axis], cells = maps.grid[axis];
        along = 0;
        if (size < 2 || cells < 2) return 0;
        const double at = double(place) * double(cells - 1) / double(size - 1);
        const int64_t before = int64_t(at) < cells - 2 ? int64_t(at) : cells - 2;
        along = float(at - double(before));
        return before;
    }

    void find(const Maps& maps, int64_t first, int pixels) {
        rows = maps.grid[0] > 1 ? 4 : 2;
        count = 0;
        for (int i = 0; i < pixels;) {
            const int64_t pixel = first + i, x = pixel % maps.size[2];
            const int64_t y = pixel / maps.size[2] % maps.size[1], z = pixel / maps.size[2] / maps.size[1];
            int64_t length = LANES - i % LANES;  // to the end of the vector, of the row and of the block
            length = length < maps.size[2] - x ? length : maps.size[2] - x;
            length = length < pixels - i ? length : pixels - i;
            MapPiece& piece = pieces[count++];
            memset(&piece, 0, sizeof piece);
            piece.vector = i / LANES;
            float along_x, along_y, along_z;
            const int64_t column = cell(maps, 2, x, along_x), row = cell(maps, 1, y, along_y), plane = cell(maps, 0, z, along_z);
            for (int r = 0; r < rows; r++) {
                const bool below = r & 1 && maps.grid[1] > 1, behind = r & 2;
                piece.rows[r] = ((plane + behind) * maps.grid[1] + row + below) * maps.grid[2] + column;
                piece.weights[r] = (r & 1 ? along_y : 1 - along_y) * (r & 2 ? along_z : 1 - along_z);
            }
            for (int64_t j = 0; j < length; j++) {
                const int lane = i % LANES + int(j);
                piece.column[lane] = int32_t(cell(maps, 2, x + j, piece.along[lane]) - column);
                piece.inside[lane] = -1;
            }
            i += int(length);
        }
    }

    // One channel of a map, `cells`, at the pixels of the block; beyond its pixels the values are any.
    INLINE void interpolate(const MapPieces& block, const float* cells, float* values) {
        for (int p = 0; p < block.count; p++) {
            const MapPiece& piece = block.pieces[p];
            vec left = {}, right = {};
            for (int r = 0; r < block.rows; r++) {
                left += broadcast(piece.weights[r]) * load(cells + piece.rows[r]);
                right += broadcast(piece.weights[r]) * load(cells + piece.rows[r] + 1);
            }
            const ivec column = *reinterpret_cast<const ivec*>(piece.column), inside = *reinterpret_cast<const ivec*>(piece.inside);
            const vec along = load(piece.along), value = permute(left, column) * (1.0f - along) + permute(right, column) * along;
            float* out = values + piece.vector * LANES;
            store(out, inside != 0 ? value : load(out));
        }
    }
};

// The features of the block with a hypothesis's maps: base (width, BLOCK) + weight (width, channels) * maps, to `out`.
INLINE void add_maps(const Maps& maps, int width, const MapPieces& block, const float* cells, const float* base, float* values,
                     float* out) {
    for (int s = 0; s < maps.channels; s++) MapPieces::interpolate(block, cells + s * maps.cells, values + s * BLOCK);
    for (int c = 0; c < width; c++)
        for (int v = 0; v < BLOCK; v += LANES) {
            vec sum = {};
            for (int s = 0; s < maps.channels; s++) sum += broadcast(maps.weight[c * maps.channels + s]) * load(values + s * BLOCK + v);
            store(out + c * BLOCK + v, load(base + c * BLOCK + v) + sum);
        }
}
