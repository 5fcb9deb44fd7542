// What was blended, over the background.

uniform sampler2D u_picture;  // a: transmittance
uniform vec3 u_background;
in vec2 v_place;
out vec4 pixel;
void main() {
    vec4 picture = texture(u_picture, v_place);
    pixel = vec4(picture.rgb + picture.a * u_background, 1.);
}
