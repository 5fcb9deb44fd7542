// All of the picture.

out vec2 v_place;
void main() {
    vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
    v_place = 2. * corner;
    gl_Position = vec4(4. * corner - 1., 0., 1.);
}
