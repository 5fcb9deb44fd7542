// Entry i of a table.
uvec4 texel(usampler2D table, uint i) {
    uint width = uint(textureSize(table, 0).x);
    return texelFetch(table, ivec2(i % width, i / width), 0);
}
